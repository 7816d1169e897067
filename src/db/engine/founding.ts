import { spawn } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { syncDirectory } from "../directory.ts";
import { type Account, actAs, spawnIdentity } from "./account.ts";
import { type BinaryCandidate, findBinaries } from "./binaries.ts";
import { ClusterFailure, makeCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { type Binaries, readyBinaries, scrubbedEnvironment } from "./native.ts";
import { findPrepared, readPrepared, writePrepared } from "./prepared.ts";
import { refuseFileSystem, refuseInitdb, refuseNameless, refuseWithoutBinaries } from "./refusals.ts";
import type { Store } from "./store.ts";

/**
 * Makes the store's data directory, under a temporary name until it is whole and on the disk: copied from the prepared
 * one where that fits, else by `initdb`. The caller holds the store's lock.
 * @throws MidctlError `unavailable`
 */
export async function foundStore(store: Store, host: Host): Promise<void> {
  const rejected: string[] = [];
  for (const candidate of findBinaries(host, rejected)) {
    try {
      if (await foundWith(candidate, store, host, rejected)) return;
    } catch (error) {
      discard(store);
      throw refuseFileSystem(store.dir, error);
    }
  }
  throw refuseWithoutBinaries(rejected, host.lacksGlibc());
}

async function foundWith(
  candidate: BinaryCandidate,
  store: Store,
  host: Host,
  rejected: string[],
): Promise<boolean> {
  const unfinished = `${store.dataDir}.new`;
  discard(store);
  const binaries = readyBinaries(candidate, store.dir, store.account);
  const running = findFault(binaries, store.account);
  const prepared = candidate.origin === "package" ? findPrepared(host, candidate.major) : null;
  if (prepared !== null) {
    await writePrepared(await readPrepared(prepared), unfinished, store.account);
  }
  const fault = await running;
  if (fault !== null) {
    rejected.push(`${candidate.postgres} does not run here (${fault})`);
    discard(store);
    return false;
  }
  if (prepared === null) await runInitdb(binaries, unfinished, store);
  actAs(store.account, () => {
    renameSync(unfinished, store.dataDir);
    syncDirectory(store.dir);
  });
  return true;
}

async function runInitdb(binaries: Binaries, dataDir: string, store: Store): Promise<void> {
  try {
    await makeCluster({ binaries, dataDir, account: store.account });
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    throw error.reason === "nameless"
      ? refuseNameless(store.dir, store.account.uid)
      : refuseInitdb(store.dir, error.log);
  }
}

/** What the loader or the kernel says against the program, run as the engine's user; null if it runs. */
function findFault(binaries: Binaries, account: Account): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(binaries.postgres, ["--version"], {
      cwd: "/",
      env: scrubbedEnvironment(binaries),
      stdio: ["ignore", "ignore", "pipe"],
      ...spawnIdentity(account),
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) => resolve(code === 0 ? null : said.trim().split("\n")[0] || `exit ${code}`));
  });
}

/** What an interrupted first use left. */
function discard(store: Store): void {
  const unfinished = `${store.dataDir}.new`;
  if (existsSync(unfinished))
    actAs(store.account, () => rmSync(unfinished, { recursive: true, force: true }));
}
