import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { actAs } from "./account.ts";
import { findBinaries } from "./binaries.ts";
import { foundStore } from "./founding.ts";
import type { Host } from "./host.ts";
import { ENGINE_PORT, type EngineAddress } from "./location.ts";
import { openLock } from "./lock.ts";
import { readyBinaries } from "./native.ts";
import { judgePostmaster, readPostmasterFile } from "./postmaster.ts";
import { probe } from "./probe.ts";
import { refuseHeld, refuseMajor, refuseStart, refuseUnlockable, refuseWithoutBinaries } from "./refusals.ts";
import { LaunchFailure, launchServer } from "./server.ts";
import { readMajor, type Store } from "./store.ts";
import { engineSettings } from "./tuning.ts";

/** `held`: somebody else has the store. `again`: what is left of a killed server is still going. */
export type Attempt = "started" | "founded" | "held" | "again";

/** The loader refuses the program, rather than the program the data. */
const UNUSABLE =
  /error while loading shared libraries|version `GLIBC|Library not loaded|symbol not found|not found \(required by/;
const NOT_GONE_YET = /pre-existing shared memory block|lock file ".*" already exists|is still in use/;

const LONGEST_LOG = 1_000_000;

/**
 * One attempt at starting the store's server. Usually nothing is to be judged and lock and start are one step; data to
 * be made, or a note of a stranger to be removed, need the lock beforehand.
 */
export async function attemptStart(store: Store, host: Host): Promise<Attempt> {
  const lock = openLock(store, host.platform);
  if (lock === null) return "held";
  try {
    const note = readPostmasterFile(store.dataDir);
    const verdict = note === null ? "gone" : judgePostmaster(note, store.dataDir);
    if (verdict === "ours") return "held";
    let founded = false;
    if (verdict === "stranger" || readMajor(store) === null) {
      if (!(await lock.take())) return "held";
      if (readMajor(store) === null) {
        await foundStore(store, host);
        founded = true;
      }
      removeStrangersNote(store);
    }
    await launchFromStore(store, host, lock.descriptor);
    return founded ? "founded" : "started";
  } catch (error) {
    return explainAttempt(error, store);
  } finally {
    lock.close();
  }
}

/**
 * Waits for whoever holds the store. A server in smart shutdown (a unit or job that ended) waits for its clients and
 * takes no new ones: it is told to be quick.
 * @param deadline of `performance.now()`
 * @returns `answers` once its server takes sessions, `released` once nobody holds the store
 * @throws MidctlError `unavailable` after the deadline
 */
export async function awaitHolder(
  store: Store,
  host: Host,
  address: EngineAddress,
  deadline: number,
): Promise<"answers" | "released"> {
  let hurried = 0;
  for (let round = 1; performance.now() < deadline; round += 1) {
    const note = readPostmasterFile(store.dataDir);
    if (note?.status === "ready" && (await probe(address)) === "ready") return "answers";
    const isStopping = note?.status === "stopping" && note.pid !== hurried;
    if (isStopping && judgePostmaster(note, store.dataDir) === "ours") {
      signal(store, note.pid, "SIGINT");
      hurried = note.pid;
    }
    if (round % 5 === 0 && (await isFree(store, host))) return "released";
    await delay(5);
  }
  throw refuseHeld(store.dir, store.socketDir);
}

/** Whether nobody holds the store's lock, in any namespace. */
export async function isFree(store: Store, host: Host): Promise<boolean> {
  const note = readPostmasterFile(store.dataDir);
  // A server that somebody started by hand holds no lock of ours.
  if (note !== null && judgePostmaster(note, store.dataDir) === "ours") return false;
  const lock = openLock(store, host.platform);
  if (lock === null) return false;
  try {
    return await lock.take();
  } finally {
    lock.close();
  }
}

/** Signals with the account's rights: root without CAP_KILL may not otherwise. */
export function signal(store: Store, pid: number, name: "SIGINT"): void {
  try {
    actAs(store.account, () => process.kill(pid, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** `postgres` would not start while the number in a stale note is in use, whoever uses it. The lock is held. */
function removeStrangersNote(store: Store): void {
  const note = readPostmasterFile(store.dataDir);
  if (note === null || judgePostmaster(note, store.dataDir) !== "stranger") return;
  actAs(store.account, () => rmSync(join(store.dataDir, "postmaster.pid"), { force: true }));
}

async function launchFromStore(store: Store, host: Host, lockFile: number): Promise<void> {
  const major = readMajor(store);
  const others: string[] = [];
  const rejected: string[] = [];
  rotateLog(store);
  for (const candidate of findBinaries(host, rejected)) {
    if (candidate.major !== major) {
      others.push(String(candidate.major));
      continue;
    }
    try {
      await launchServer({
        binaries: readyBinaries(candidate, store.dir, store.account),
        dataDir: store.dataDir,
        socketDir: store.socketDir,
        port: ENGINE_PORT,
        settings: engineSettings(candidate.major),
        account: store.account,
        logFile: store.logFile,
        lockFile,
      });
      return;
    } catch (error) {
      if (!(error instanceof LaunchFailure) || !UNUSABLE.test(error.log)) throw error;
      rejected.push(`${candidate.postgres} does not run here`);
    }
  }
  if (major !== null && others.length > 0) throw refuseMajor(store.dir, major, [...new Set(others)]);
  throw refuseWithoutBinaries(rejected, host.lacksGlibc());
}

function explainAttempt(error: unknown, store: Store): Attempt {
  if (!(error instanceof LaunchFailure)) throw error;
  switch (error.reason) {
    case "locked":
      return "held";
    case "no_flock":
      throw refuseUnlockable(store.dir, "there is no flock(1) here");
    case "lock_refused":
      throw refuseUnlockable(store.dir, error.log.trim());
    case "slow":
      throw refuseHeld(store.dir, store.socketDir);
    case "exited":
      if (NOT_GONE_YET.test(error.log)) return "again";
      throw refuseStart(store.dir, store.logFile, error.log);
  }
}

function rotateLog(store: Store): void {
  actAs(store.account, () => {
    if (!existsSync(store.logFile) || statSync(store.logFile).size <= LONGEST_LOG) return;
    renameSync(store.logFile, `${store.logFile}.1`);
  });
}
