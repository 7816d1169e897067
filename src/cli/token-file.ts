import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { syncDirectory } from "../db/directory.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseToken, TOKEN_LENGTH, type Token } from "../domain/token.ts";
import { asUndeliverable, errnoOf, isOurs, locate, type Target } from "./token-file-place.ts";

/**
 * Delivery of a secret into a file, and safe retry (SPEC §4). All calls are synchronous, so that no signal handler
 * runs halfway. The token is written and synced under a temporary name and then linked to PATH, which fails if PATH
 * exists: whoever looks finds either nothing or the whole token, and a run killed in between can simply be repeated.
 */
export interface TokenFile {
  /** PATH as it was given. */
  readonly path: string;
  /** The token that an earlier run left there; null where the file does not exist yet. */
  readonly existing: Token | null;
  /**
   * Creates PATH (0600, exclusive) with the token and `\n`, and returns when file and directory are on disk: call it
   * before the row is committed. Throws `conflict` where PATH has come into being meanwhile, `undeliverable` where
   * it cannot be written; either way this call leaves no file.
   */
  write(token: Token): void;
  /**
   * Takes back what `write` of this object created, and nothing else. Call it when it is certain that nothing was
   * committed. False where the file could not be removed; its token is unknown to the database, so inert.
   */
  discard(): boolean;
}

/** Begins the names of files that wait for their own. */
export const TEMPORARY_PREFIX = ".midctl-token-";
export const PRIVATE_MODE = 0o600;
/** How a file that nobody made yet is opened. */
export const NEW_FILE =
  fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_NOFOLLOW;

/**
 * Looks at PATH before anything else happens: where it already holds a token in our own 0600 file, that one is synced
 * and returned as `existing` (whether its environment fits is the caller's question). Throws `usage` for a path that
 * cannot be meant, `conflict` for anything else that stands there, `undeliverable` where the disk refuses. No error
 * quotes what a file holds.
 */
export function openTokenFile(file: string): TokenFile {
  const target = locate(file);
  const existing = readExisting(target);
  let written: { readonly token: Token; readonly stats: fs.Stats } | null = null;
  return {
    path: file,
    existing,
    write(token) {
      written = { token, stats: createFile(target, token) };
    },
    discard() {
      return written === null || removeOwn(target, written.token, written.stats);
    },
  };
}

/**
 * The token that PATH holds, synced; null where there is no PATH. Anything else is a conflict.
 * @param sync false for whoever only looks, and relies on nothing that it says
 */
export function readExisting(target: Target, { sync = true } = {}): Token | null {
  try {
    const before = fs.lstatSync(target.path, { throwIfNoEntry: false });
    if (before === undefined) return null;
    // Not opened before it is known to be a plain file: opening a device or a FIFO can act or hang.
    refuseUnlessOwnFile(before, target);
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const fd = fs.openSync(target.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stats = fs.fstatSync(fd);
      refuseUnlessOwnFile(stats, target);
      refuseSecondName(stats, target);
      const token = readToken(fd);
      if (token === null) throw occupied(target, "it holds something other than one token");
      if (!sync) return token;
      // The run that wrote it may have died before it synced.
      fs.fsyncSync(fd);
      syncDirectory(target.directory);
      return token;
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === "ELOOP") throw occupied(target, "it is a symbolic link");
    if (errnoOf(error) === "ENAMETOOLONG")
      throw new MidctlError("usage", `The path ${target.shown} is too long.`);
    throw asUndeliverable(error, target.shown);
  }
}

/** One well-formed token, alone or with one `\n` after it. */
function readToken(fd: number): Token | null {
  const buffer = Buffer.alloc(TOKEN_LENGTH + 2);
  let length = 0;
  for (let got = -1; got !== 0 && length < buffer.length; length += got) {
    got = fs.readSync(fd, buffer, length, buffer.length - length, length);
  }
  const text = buffer.toString("latin1", 0, length);
  return parseToken(text.endsWith("\n") ? text.slice(0, -1) : text);
}

function refuseUnlessOwnFile(stats: fs.Stats, target: Target): void {
  if (stats.isSymbolicLink()) throw occupied(target, "it is a symbolic link");
  if (!stats.isFile()) throw occupied(target, "it is not a regular file");
  if (!isOurs(stats.uid)) throw occupied(target, "it belongs to another user");
  const mode = stats.mode & 0o7777;
  if (mode !== PRIVATE_MODE) {
    const octal = mode.toString(8).padStart(4, "0");
    throw occupied(target, `its mode is ${octal}, not 0600, so others may know what it holds`);
  }
}

/** A run killed between link and unlink leaves its temporary name, which goes; any other name is refused. */
function refuseSecondName(stats: fs.Stats, target: Target): void {
  if (stats.nlink === 1) return;
  for (const name of fs.readdirSync(target.directory)) {
    if (!name.startsWith(TEMPORARY_PREFIX)) continue;
    const other = path.join(target.directory, name);
    const found = fs.lstatSync(other, { throwIfNoEntry: false });
    if (found !== undefined && isSameFile(found, stats)) fs.rmSync(other, { force: true });
  }
  const left = fs.lstatSync(target.path, { throwIfNoEntry: false });
  if (left === undefined || left.nlink !== 1)
    throw occupied(target, "the same file has a second name elsewhere");
}

export function occupied(target: Target, why: string): MidctlError {
  return new MidctlError(
    "conflict",
    `${target.shown} exists and is not used: ${why}. No token was written.`,
    {
      hint: "Give a path that does not exist yet; only a 0600 file of your own with one token in it is taken up again.",
    },
  );
}

function createFile(target: Target, token: Token): fs.Stats {
  const content = `${token.text}\n`;
  const temporary = path.join(target.directory, TEMPORARY_PREFIX + randomBytes(12).toString("hex"));
  let created = false;
  try {
    const stats = giveName(temporary, target, { content, stats: writePrivate(temporary, content) });
    created = true;
    removeLeftOver(temporary);
    syncDirectory(target.directory);
    return stats;
  } catch (error) {
    removeQuietly(temporary);
    if (created) removeQuietly(target.path);
    if (errnoOf(error) === "EEXIST") throw occupied(target, "it came into being only now");
    throw asUndeliverable(error, target.shown);
  }
}

/** Links a synced file to PATH, which fails where PATH exists; what stands there then. */
export function giveName(
  temporary: string,
  target: Target,
  { content, stats }: { readonly content: string; readonly stats: fs.Stats },
): fs.Stats {
  try {
    fs.linkSync(temporary, target.path);
    return stats;
  } catch (error) {
    if (!LINKLESS.has(errnoOf(error) ?? "")) throw error;
    return writePrivate(target.path, content);
  }
}

/** What `link` answers on file systems that have none; there PATH is created directly. */
const LINKLESS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/** Makes and syncs a new file, checked to be private before the secret goes in. A failure leaves none. */
function writePrivate(file: string, content: string): fs.Stats {
  const fd = fs.openSync(file, NEW_FILE, PRIVATE_MODE);
  const stats = makePrivate(file, fd, content);
  try {
    fs.fsyncSync(fd);
    return stats;
  } catch (error) {
    removeQuietly(file);
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** Fills a file that was just opened as a `NEW_FILE`, once it is certain that it is private. A failure leaves none, and it closed. */
export function makePrivate(file: string, fd: number, content: string): fs.Stats {
  try {
    // A umask may have taken more away than it should, and some file systems keep neither mode nor owner.
    fs.fchmodSync(fd, PRIVATE_MODE);
    const stats = fs.fstatSync(fd);
    if (!isOurs(stats.uid) || (stats.mode & 0o7777) !== PRIVATE_MODE) {
      throw new MidctlError(
        "undeliverable",
        "The file system keeps no private files. No token was written.",
        {
          hint: "Use a --token-file on a local file system.",
        },
      );
    }
    fs.writeFileSync(fd, content);
    return stats;
  } catch (error) {
    removeQuietly(file);
    fs.closeSync(fd);
    throw error;
  }
}

/** Removes PATH only where it is still the very file that was made, with the token that was written. */
export function removeOwn(target: Target, token: Token, made: fs.Stats): boolean {
  try {
    const found = fs.lstatSync(target.path, { throwIfNoEntry: false });
    // An inode number can come back with another file, so the content counts too.
    if (found === undefined || !isSameFile(found, made)) return true;
    const fd = fs.openSync(target.path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      if (readToken(fd)?.text !== token.text) return true;
    } finally {
      fs.closeSync(fd);
    }
    fs.unlinkSync(target.path);
    syncDirectory(target.directory);
    return true;
  } catch {
    return false;
  }
}

/** Whoever found PATH meanwhile may have been quicker to take the temporary name away. */
export function removeLeftOver(temporary: string): void {
  try {
    fs.unlinkSync(temporary);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

export function removeQuietly(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    // The first failure is the one to tell; what stays behind is inert.
  }
}

function isSameFile(a: fs.Stats, b: fs.Stats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}
