/**
 * Token files by the dozen. As in token-file.ts each is written and synced under a temporary name before it gets its own, so
 * that no power failure leaves a torn one; but many wait for the disk together, which writes them at once.
 */
import fs from "node:fs";
import path from "node:path";
import { isUnsynced } from "../db/directory.ts";
import type { Token } from "../domain/token.ts";
import { bytesByTheBlock } from "./random-names.ts";
import {
  giveName,
  makePrivate,
  NEW_FILE,
  occupied,
  PRIVATE_MODE,
  readExisting,
  removeLeftOver,
  removeOwn,
  removeQuietly,
  TEMPORARY_PREFIX,
} from "./token-file.ts";
import { asUndeliverable, errnoOf, locate, type Target } from "./token-file-place.ts";

/** So often a file is written anew whose temporary name another run took for a left-over: each does so once, as it begins. */
const ATTEMPTS = 5;

/** One of the token files of a run. */
export interface TokenFileOfRun {
  /** What an earlier run left there, synced; null where the file does not exist yet. */
  readonly existing: Token | null;
  /**
   * Creates the file (0600, exclusive) with the token; its content is on disk then, its name once `syncDirectories` was called.
   * @returns the token that the file holds: another's where a run at the same time was quicker
   * @throws MidctlError `conflict` for what is no token file of ours, `undeliverable` where it cannot be written
   */
  write(token: Token): Promise<Token>;
  /** As `TokenFile`'s. */
  discard(): boolean;
}

/** @param run names the run in temporary names, by which `removeLeftOvers` finds them */
export function openTokenFileOfRun(file: string, run: string): TokenFileOfRun {
  const target = locate(file);
  const existing = readExisting(target);
  let written: { readonly token: Token; readonly stats: fs.Stats } | null = null;
  return {
    existing,
    async write(token) {
      const stats = await createFile(target, token, run);
      if (stats === null) return readExisting(target) ?? fail(target);
      written = { token, stats };
      return token;
    },
    discard() {
      return written === null || removeOwn(target, written.token, written.stats);
    },
  };
}

function fail(target: Target): never {
  throw occupied(target, "it came into being only now");
}

/** The token that a file holds; null where there is none. It may not be on disk yet. @throws MidctlError as `openTokenFile` */
export function lookAtTokenFile(file: string): Token | null {
  return readExisting(locate(file), { sync: false });
}

/**
 * Puts a token file in the place of another, or where nothing stands: whoever looks finds the old secret or the new one, whole;
 * also where another run has done it already. It is on disk once `syncDirectories` was called.
 * @returns false where there is nothing to rename, and nobody has done it
 * @throws MidctlError `conflict` for what stands there and is no token file of ours, `undeliverable` where the disk refuses
 */
export function renameTokenFile(from: string, to: string, token: Token): boolean {
  if (path.dirname(from) !== path.dirname(to))
    throw new Error("a token file is renamed within its directory");
  const target = locate(to);
  readExisting(target, { sync: false });
  try {
    fs.renameSync(path.join(target.directory, path.basename(from)), target.path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return readExisting(target)?.text === token.text;
    throw asUndeliverable(error, target.shown);
  }
}

/**
 * Removes what a run that was killed left under temporary names; what cannot be removed is inert. One that goes on at the same time
 * writes its own anew.
 */
export function removeLeftOvers(directory: string, run: string): void {
  for (const name of namesIn(directory)) {
    if (name.startsWith(`${TEMPORARY_PREFIX}${run}-`)) removeQuietly(path.join(directory, name));
  }
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    // Whoever writes there is told why that cannot be.
    return [];
  }
}

/** Returns when the names in these directories are on disk. @throws what the disk says, with the `path` of the directory */
export async function syncDirectories(directories: Iterable<string>): Promise<void> {
  const synced = await Promise.allSettled([...directories].map(syncOne));
  for (const each of synced) if (each.status === "rejected") throw each.reason;
}

async function syncOne(directory: string): Promise<void> {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    await sync(fd);
  } catch (error) {
    if (!isUnsynced(error)) throw Object.assign(error as NodeJS.ErrnoException, { path: directory });
  } finally {
    fs.closeSync(fd);
  }
}

/** Null where the name was taken meanwhile. */
async function createFile(target: Target, token: Token, run: string): Promise<fs.Stats | null> {
  const content = `${token.text}\n`;
  for (let attempt = 1; ; attempt++) {
    const temporary = path.join(
      target.directory,
      `${TEMPORARY_PREFIX}${run}-${bytesByTheBlock(12).toString("hex")}`,
    );
    try {
      // Not waited for here: while the disk writes others, making a name takes as long as writing them.
      const fd = await open(temporary);
      const stats = makePrivate(temporary, fd, content);
      try {
        await sync(fd);
      } finally {
        fs.closeSync(fd);
      }
      const named = giveName(temporary, target, { content, stats });
      removeLeftOver(temporary);
      return named;
    } catch (error) {
      removeQuietly(temporary);
      if (errnoOf(error) === "EEXIST") return null;
      if (errnoOf(error) === "ENOENT" && attempt < ATTEMPTS) continue;
      throw asUndeliverable(error, target.shown);
    }
  }
}

function open(file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(file, NEW_FILE, PRIVATE_MODE, (error, fd) => (error === null ? resolve(fd) : reject(error)));
  });
}

function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}
