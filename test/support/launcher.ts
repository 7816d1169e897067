import { spawn } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, chooseOwnAccount, currentAccount, isRoot } from "../../src/db/engine/account.ts";
import { type BinaryCandidate, findBinaries, OLDEST_MAJOR } from "../../src/db/engine/binaries.ts";
import { makeCluster } from "../../src/db/engine/cluster.ts";
import { thisHost } from "../../src/db/engine/host.ts";
import { type Binaries, readyBinaries } from "../../src/db/engine/native.ts";
import { launchServer } from "../../src/db/engine/server.ts";
import { listen } from "./proxy.ts";

/** A running server, on a unix socket and on 127.0.0.1. */
export interface TestServer {
  readonly name: string;
  readonly major: number;
  readonly socketDir: string;
  readonly port: number;
  readonly user: string;
  /** A pooler in front of it, where the run is one through a pooler. */
  readonly pooler?: { readonly socketDir: string; readonly port: number };
}

export interface Launched {
  readonly server: TestServer;
  stop(): Promise<void>;
}

/** A directory for everything that one test run leaves lying, which the servers' user may pass through. */
export function makeScratch(): string {
  const scratch = mkdtempSync(join(tmpdir(), "midctl-test-"));
  chmodSync(scratch, 0o755);
  return scratch;
}

/** The PostgreSQL that the embedded engine would use, and the oldest supported, where one is installed. */
export function findTestBinaries(): BinaryCandidate[] {
  const [engine, ...others] = findBinaries(thisHost());
  if (engine === undefined) throw new Error("no PostgreSQL: install with optional dependencies");
  const oldest = others.filter(({ major }) => major === OLDEST_MAJOR && engine.major !== OLDEST_MAJOR);
  return [engine, ...oldest.slice(0, 1)];
}

/**
 * Starts a server that is made for being thrown away.
 * @param settings nothing is synced unless told otherwise: `DURABLE` has it as in production
 */
export async function launch(
  candidate: BinaryCandidate,
  scratch: string,
  settings: Readonly<Record<string, string>> = HASTY,
): Promise<Launched> {
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(scratch, `server${candidate.major}-`));
  if (account.switched) chownSync(home, account.uid, account.gid);
  const binaries = readyBinaries(candidate, home, account);
  const dataDir = join(home, "data");
  await makeCluster({ binaries, dataDir, account, user: USER, sync: false });
  const { pid, port } = await start(binaries, account, home, dataDir, settings);
  const stop = watchOver(pid, home);
  return {
    server: {
      name: `PostgreSQL ${binaries.major}`,
      major: binaries.major,
      socketDir: home,
      port,
      user: USER,
    },
    stop,
  };
}

/**
 * Stops a server, in the quickest of PostgreSQL's ways, and removes it: on being called, or when this process is gone
 * and its end of the pipe with it, however it went.
 */
function watchOver(pid: number, home: string): () => Promise<void> {
  const guard = spawn(
    "sh",
    ["-c", 'read -r _; kill -QUIT "$1"; sleep 0.1; rm -rf "$2"', "sh", `${pid}`, home],
    {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    },
  );
  const gone = new Promise<void>((resolve) => guard.once("exit", () => resolve()));
  guard.unref();
  (guard.stdin as Socket).unref();
  return () => {
    guard.ref();
    guard.stdin.end();
    return gone;
  };
}

const USER = "postgres";

export const HASTY = { fsync: "off", synchronous_commit: "off", full_page_writes: "off", autovacuum: "off" };
/** PostgreSQL's own defaults: every commit is synced. */
export const DURABLE = {};

async function start(
  binaries: Binaries,
  account: Account,
  home: string,
  dataDir: string,
  more: Readonly<Record<string, string>>,
) {
  const port = await findFreePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    max_connections: "200",
    log_min_messages: "fatal",
    ...more,
  };
  const { pid } = await launchServer({ binaries, dataDir, socketDir: home, port, settings, account });
  return { pid, port };
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
