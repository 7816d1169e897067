import { execFile, type SpawnOptions, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { inject } from "vitest";
import { type Account, chooseOwnAccount, currentAccount, isRoot } from "../../src/db/engine/account.ts";
import { findPackaged } from "../../src/db/engine/binaries.ts";
import { stopEngine } from "../../src/db/engine/engine.ts";
import { type Host, packageNameFor, thisHost } from "../../src/db/engine/host.ts";
import { addressOf, type StoreLocation } from "../../src/db/engine/location.ts";
import { type Binaries, readyBinaries } from "../../src/db/engine/native.ts";
import { preparedFileHere, prepareStore } from "../../src/db/engine/prepare.ts";
import { openPostgres } from "../../src/db/postgres.ts";

/** A directory of one test file: stores in it, a prepared data directory, and a program that starts engines. */
export class Place {
  readonly dir: string;
  readonly #stores: StoreLocation[] = [];

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "midctl-engine-"));
    chmodSync(this.dir, 0o755); // the engine's own user has to pass through
  }

  /** The place of a store that does not exist yet. Its server is stopped at the end. */
  newStore(name = `store${this.#stores.length}`): StoreLocation {
    const store = { dir: join(this.dir, name), source: "MIDCTL_DATA_DIR" } as const;
    this.#stores.push(store);
    return store;
  }

  /** This machine, with a prepared data directory that holds one table, `seed`. */
  async prepare(): Promise<Host> {
    const host = { ...testHost(), findPreparedDir: () => join(this.dir, "prepared") };
    await prepareStore(join(this.dir, "prepared", preparedFileHere() ?? ""), async (address) => {
      const database = openPostgres(address);
      await database.query("CREATE TABLE seed AS SELECT 'sown' AS word");
      await database.close();
    });
    return host;
  }

  /** Bundles `driver.ts`, where it finds this checkout's packages. Returns its path. */
  async buildDriver(): Promise<string> {
    const outfile = join(this.dir, "driver.mjs");
    if (existsSync(outfile)) return outfile;
    const scope = join(this.dir, "node_modules", dirname(PACKAGE));
    mkdirSync(scope, { recursive: true });
    symlinkSync(openPackage(), join(scope, basename(PACKAGE)));
    await build({
      entryPoints: [join(import.meta.dirname, "driver.ts")],
      bundle: true,
      platform: "node",
      format: "esm",
      outfile,
      logLevel: "error",
    });
    return outfile;
  }

  async clear(): Promise<void> {
    for (const store of this.#stores) await stopEngine(store).catch(() => undefined);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** This machine as one on which no build prepared a data directory. */
export function unpreparedHost(): Host {
  return { ...testHost(), findPreparedDir: () => null };
}

const PACKAGE = packageNameFor(thisHost());

/** This machine, with PostgreSQL's package where the engine's user can read it, so that no store needs a copy. */
function testHost(): Host {
  return { ...thisHost(), resolvePackage: () => mainOf(openPackage()) };
}

/** The directory of PostgreSQL's package; a copy, one a run, where this checkout lies under a closed home. */
export function openPackage(): string {
  const own = dirname(dirname(thisHost().resolvePackage(PACKAGE) ?? ""));
  if (isOpen(own)) return own;
  const copy = join(inject("scratch"), PACKAGE);
  if (!existsSync(copy)) {
    const unfinished = `${copy}-${process.pid}`;
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(own, unfinished, { recursive: true, verbatimSymlinks: true });
    if (existsSync(copy)) rmSync(unfinished, { recursive: true });
    else renameSync(unfinished, copy);
  }
  return copy;
}

/** Whether anybody may pass through every directory above. */
function isOpen(path: string): boolean {
  return path === "/" || ((statSync(path).mode & 0o001) !== 0 && isOpen(dirname(path)));
}

export function mainOf(packageDir: string): string {
  return join(packageDir, "dist/index.js");
}

/** Runs one statement on the store's server, as the fast path of a command does. */
export async function ask<Row extends object>(store: StoreLocation, text: string): Promise<Row[]> {
  const database = openPostgres(addressOf(store), { max: 1 });
  try {
    return await database.query<Row>(text);
  } finally {
    await database.close();
  }
}

/** Who servers run as in these tests: ourselves, or the number that root chooses. */
export function serverAccount(): Account {
  return isRoot() ? chooseOwnAccount() : currentAccount();
}

/** The PostgreSQL of npm's package, ready for that account. */
export function packagedBinaries(cacheDir: string): Binaries {
  const candidate = findPackaged(thisHost(), []);
  if (candidate === null) throw new Error("no PostgreSQL for this platform");
  return readyBinaries(candidate, cacheDir, serverAccount());
}

export const run = promisify(execFile);

/** Runs a program to its end, with its output and exit code. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => done({ code, stdout, stderr }));
  });
}
