import { statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { findBinaries } from "./binaries.ts";
import { type Host, thisHost } from "./host.ts";
import { addressOf, type EngineAddress, type StoreLocation, windowsRefusal } from "./location.ts";
import { judgePostmaster, readPostmasterFile } from "./postmaster.ts";
import { probe } from "./probe.ts";
import { refuseFileSystem, refuseHeld, refuseRemoteStop } from "./refusals.ts";
import { attemptStart, awaitHolder, isFree, signal } from "./starting.ts";
import { openStore, readMajor, type Store, surveyStore, warnOfContainer } from "./store.ts";

export interface StartOptions {
  /** Told what the user should know, a line at a time: first use, a store that ends with its container. */
  readonly notice?: (line: string) => void;
  /** How long another's start, stop or recovery may take, in ms; a minute unless told. */
  readonly patience?: number;
  readonly host?: Host;
}

export interface EngineState {
  readonly running: boolean;
  /** The server's process, where it is in this PID namespace. */
  readonly pid: number | null;
  readonly startedAt: Date | null;
  /** The major version that the store was made with. */
  readonly version: string | null;
  readonly dir: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly logFile: string | null;
  /** The number of the user that the store belongs to. */
  readonly owner: number | null;
  /** The `postgres` that would be started, or that a new store would be made with. */
  readonly binaries: string | null;
}

/**
 * Starts the store's server unless it runs, making the store on first use. Any number of commands may call it at once:
 * one starts, the others wait for it.
 * @returns `created`: the store is new and may have no schema yet; `started`: by this call
 * @throws MidctlError `unavailable` naming the directory and the way out (SPEC §7)
 */
export async function startEngine(
  location: StoreLocation,
  options: StartOptions = {},
): Promise<{ address: EngineAddress; created: boolean; started: boolean }> {
  const host = options.host ?? thisHost();
  if (host.platform === "win32") throw windowsRefusal();
  const store = openStore(location, host);
  const address = addressOf(location);
  const deadline = performance.now() + (options.patience ?? 60_000);
  for (let round = 0; performance.now() < deadline; round += 1) {
    const attempt = await tryToStart(store, host);
    if (attempt === "started") return { address, created: false, started: true };
    if (attempt === "founded") {
      announce(store, options.notice);
      return { address, created: true, started: true };
    }
    if (attempt === "again") await delay(Math.min(10 * 2 ** round, 250));
    else if ((await awaitHolder(store, host, address, deadline)) === "answers") {
      return { address, created: false, started: false };
    }
  }
  throw refuseHeld(store.dir, store.socketDir);
}

/**
 * Stops the store's server: sessions end, everything is on the disk. Without a server, nothing happens.
 * @throws MidctlError `unavailable` for a server in another container, or one that does not end
 */
export async function stopEngine(
  location: StoreLocation,
  options: Pick<StartOptions, "patience" | "host"> = {},
): Promise<{ stopped: boolean }> {
  const host = options.host ?? thisHost();
  const store = surveyStore(location);
  if (store === null || readMajorIfReadable(store) === null) return { stopped: false };
  const deadline = performance.now() + (options.patience ?? 60_000);
  let asked = 0;
  while (performance.now() < deadline) {
    const note = readPostmasterFile(store.dataDir);
    if (note !== null && judgePostmaster(note, store.dataDir) === "ours") {
      if (note.pid !== asked) signal(store, note.pid, "SIGINT");
      asked = note.pid;
    } else if (await isFree(store, host)) {
      return { stopped: asked !== 0 };
    } else if (note?.status === "ready" && (await probe(addressOf(location))) === "ready") {
      throw refuseRemoteStop(store.dir);
    }
    await delay(5);
  }
  throw refuseHeld(store.dir, store.socketDir);
}

/** The store and its server as they are; makes, starts and changes nothing. */
export async function inspectEngine(location: StoreLocation, host: Host = thisHost()): Promise<EngineState> {
  const address = addressOf(location);
  const store = surveyStore(location);
  const major = store === null ? null : readMajorIfReadable(store);
  const note = store === null ? null : readPostmasterFile(store.dataDir);
  const isHere = store !== null && note !== null && judgePostmaster(note, store.dataDir) === "ours";
  return {
    running: major !== null && (await probe(address)) === "ready",
    pid: isHere ? note.pid : null,
    startedAt: isHere ? new Date(note.startedAt * 1000) : null,
    version: major === null ? null : String(major),
    dir: location.dir,
    dataDir: `${location.dir}/data`,
    socketDir: address.socketDir,
    logFile: store?.logFile ?? null,
    owner: statSync(location.dir, { throwIfNoEntry: false })?.uid ?? null,
    binaries: findPostgres(host, major),
  };
}

async function tryToStart(store: Store, host: Host) {
  try {
    return await attemptStart(store, host);
  } catch (error) {
    throw isFileError(error) ? refuseFileSystem(store.dir, error) : error;
  }
}

function isFileError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

function announce(store: Store, notice: StartOptions["notice"]): void {
  if (notice === undefined) return;
  notice(
    `First use: midctl keeps its data in a PostgreSQL of its own in ${store.dir} (midctl db stop ends its server).`,
  );
  const warning = warnOfContainer(store.dir);
  if (warning !== null) notice(warning);
}

function findPostgres(host: Host, major: number | null): string | null {
  for (const candidate of findBinaries(host)) {
    if (major === null || candidate.major === major) return candidate.postgres;
  }
  return null;
}

function readMajorIfReadable(store: Store): number | null {
  try {
    return readMajor(store);
  } catch {
    return null;
  }
}
