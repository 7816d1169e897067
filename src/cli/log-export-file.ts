/** A file that the log is exported to, and that later exports go on with. */
import fs from "node:fs";
import { dirname } from "node:path";
import { setImmediate as breath } from "node:timers/promises";
import { syncDirectory } from "../db/directory.ts";
import { type Locking, lockByProgram, lockingFlags } from "../db/file-lock.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  type ExportedHead,
  ExportedLeaves,
  type ExportLine,
  ExportReader,
  isHead,
  LONGEST_LINE,
  parseExportLine,
  resemblesExport,
  treeOf,
} from "../domain/log-export.ts";
import { hashLeaf } from "../domain/merkle.ts";
import { quote } from "../domain/visible.ts";
import type { ExportedLog } from "../operations/audit-verify.ts";
import { LineSplitter } from "./line-splitter.ts";
import { isFull } from "./regular-file.ts";

const PART = 1024 * 1024;
/** In bytes, of a head that begins an export, with the note in it. */
const FIRST_LINE = 1024 * 1024;
const LINE_FEED = 10;

export interface ExportFile {
  /** Its last head; null where it is new, or empty. */
  readonly last: ExportedHead | null;
  /** How many bytes follow that head: what was being written when an export was cut off. They are cut off by the first `append`. */
  readonly unfinished: number;
  /** Why it could not be locked; null where it is, until it is closed or the process ends. */
  readonly unlocked: string | null;
  /** Whether a head is in it by now. */
  hasHead(): boolean;
  /** Behind its last head, and behind what was appended before. @throws MidctlError `usage` */
  append(text: string): void;
  /** Syncs and closes it, once. Takes it away again where it was made here and nothing was written to it. */
  close(): void;
}

/**
 * Opens it and locks it, so that one export at a time writes to it.
 * @throws MidctlError `usage` for what cannot be written, `conflict` for a file of something else, and for one that is in use
 */
export async function openExportFile(path: string): Promise<ExportFile> {
  const guard = <T>(explain: (error: unknown) => MidctlError, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof MidctlError ? error : explain(error);
    }
  };
  const opening = <T>(work: () => T): T => guard((error) => unopened(path, error), work);
  const flags = lockingFlags(process.platform);
  const { file, isMade } = opening(() => openOrMake(path, flags));
  try {
    if (!opening(() => fs.fstatSync(file)).isFile()) throw notRegular(path);
    const locking: Locking = flags !== 0 ? "taken" : await lockByProgram(file);
    // Whoever held it may have taken it away between the opening and the lock.
    if (locking === "held" || !opening(() => isAt(path, file))) throw inUse(path);
    return opening(() => {
      const { size } = fs.fstatSync(file);
      const end = size === 0 ? { last: null, length: 0 } : findEnd(file, size, path);
      let [length, expected, isClosed] = [end.length, size, false];
      const guarded = <T>(work: () => T): T => guard((error) => unusable(path, error, length > 0), work);
      return {
        last: end.last,
        unfinished: size - end.length,
        unlocked: locking === "taken" ? null : locking.unable,
        hasHead: () => length > 0,
        append: (text) =>
          guarded(() => {
            if (fs.fstatSync(file).size !== expected) throw shared(path);
            if (expected > length) fs.ftruncateSync(file, length);
            const bytes = Buffer.from(text);
            for (let done = 0; done < bytes.length; ) {
              done += fs.writeSync(file, bytes, done, bytes.length - done, length + done);
            }
            length += bytes.length;
            expected = length;
          }),
        close: () =>
          guarded(() => {
            if (isClosed) return;
            isClosed = true;
            try {
              // Without the lock somebody else may be about to write to it.
              const isVain = isMade && locking === "taken" && fs.fstatSync(file).size === 0;
              if (isVain && isAt(path, file)) fs.rmSync(path);
              else fs.fsyncSync(file);
              if (size === 0) syncDirectory(dirname(path));
            } finally {
              fs.closeSync(file);
            }
          }),
      };
    });
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
}

interface Opened {
  readonly file: number;
  /** Whether it was not there before. */
  readonly isMade: boolean;
}

function openOrMake(path: string, locking: number): Opened {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const open = (flags: number): number =>
    fs.openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | locking | flags, 0o600);
  try {
    return { file: open(O_CREAT | O_EXCL), isMade: true };
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  try {
    return { file: open(0), isMade: false };
  } catch (error) {
    // Held where opening is locking, or taken away since a moment ago.
    throw codeOf(error) === "EAGAIN" || codeOf(error) === "ENOENT" ? inUse(path) : error;
  }
}

function isAt(path: string, file: number): boolean {
  const [there, here] = [fs.lstatSync(path, { throwIfNoEntry: false }), fs.fstatSync(file)];
  return there?.ino === here.ino && there.dev === here.dev;
}

/** Whether a file begins as an export does, or as one that was edited: what is wrong with that its reader says. False for what cannot be read. */
export function isExportFile(path: string): boolean {
  let file: number | undefined;
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const part = Buffer.alloc(FIRST_LINE);
    const length = fs.fstatSync(file).isFile() ? fs.readSync(file, part) : 0;
    const end = part.subarray(0, length).indexOf(LINE_FEED);
    return resemblesExport(part.toString("utf8", 0, end < 0 ? length : end));
  } catch {
    return false;
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

/**
 * Every line of an export, once the reader has held it against those before it. One part of the file is in memory at a time, and between
 * two an interruption is heard: a file may take long to be read.
 * @throws MidctlError as the reader does, and `usage` for what cannot be read
 */
export async function readExportFile(
  path: string,
  reader: ExportReader,
  undone: string,
  take: (line: ExportLine) => void,
): Promise<void> {
  for (const line of readSteps(path, reader, undone)) {
    if (line === null) await breath();
    else take(line);
  }
}

/** Every line, and null behind each part of the file. */
function* readSteps(path: string, reader: ExportReader, undone: string): Generator<ExportLine | null> {
  const texts: (string | null)[] = [];
  const splitter = new LineSplitter(LONGEST_LINE, (line) => texts.push(line?.toString("utf8") ?? null));
  let file: number | undefined;
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    if (!fs.fstatSync(file).isFile()) throw notRegular(path, undone);
    for (let length = 1; length > 0; ) {
      const part = Buffer.allocUnsafe(PART);
      length = fs.readSync(file, part);
      if (length > 0) splitter.push(part.subarray(0, length));
      else splitter.end();
      for (const text of texts.splice(0)) yield reader.take(text, length > 0);
      yield null;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof MidctlError || code === undefined) throw error;
    throw new MidctlError("usage", `${quote(path)} cannot be read (${code}); ${undone}.`, {
      hint: "Give a file that `midctl audit export` wrote.",
    });
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

/**
 * What an export says of the log: the root before it, a hash for each entry, 32 bytes in memory, and the head that they come to.
 * @throws MidctlError as `readExportFile`, and for a file that ends in the middle
 */
export async function readExported(path: string, undone: string): Promise<ExportedLog> {
  const reader = new ExportReader(path, undone);
  let leaves = new ExportedLeaves(0);
  await readExportFile(path, reader, undone, (line) => {
    if (!isHead(line)) leaves.add(hashLeaf(line.entry));
    else if (reader.first === line) leaves = new ExportedLeaves(line.size);
  });
  const head = { ...reader.end(), extensions: [] };
  return { begun: reader.first?.root ?? head.root, leaves, head };
}

/** The last head of a file, and where it ends. Reads backwards, a part at a time, as far as it has to. */
function findEnd(file: number, size: number, path: string): { last: ExportedHead; length: number } {
  let tail = Buffer.alloc(0);
  for (let start = size; start > 0 && tail.length <= LONGEST_LINE; ) {
    const length = Math.min(PART, start);
    start -= length;
    const part = Buffer.alloc(length);
    fs.readSync(file, part, 0, length, start);
    tail = Buffer.concat([part, tail]);
    // What is before the first newline may be the rest of a line.
    let end = tail.lastIndexOf(LINE_FEED);
    while (end >= 0) {
      const before = end === 0 ? -1 : tail.lastIndexOf(LINE_FEED, end - 1);
      if (before < 0 && start > 0) break;
      const line = parseExportLine(tail.toString("utf8", before + 1, end));
      if (line === null) throw notExport(path);
      if (isHead(line) && treeOf(line) !== null) return { last: line, length: start + end + 1 };
      end = before;
    }
    tail = tail.subarray(0, Math.max(0, end + 1));
  }
  throw notExport(path);
}

function notExport(path: string): MidctlError {
  return new MidctlError("conflict", `${quote(path)} holds no export of the log; nothing was written.`, {
    hint: "Give --out a new file, or one that `midctl audit export` wrote.",
  });
}

function inUse(path: string): MidctlError {
  return new MidctlError("conflict", `${quote(path)} is in use by another export; nothing was exported.`, {
    hint: "Wait until that one has ended, and run the same command again: it goes on from where that one came to.",
  });
}

function shared(path: string): MidctlError {
  return new MidctlError(
    "conflict",
    `Somebody else writes to ${quote(path)}; what stands in it behind its last head is to be written anew.`,
    { hint: "Run the same export again, once at a time." },
  );
}

function notRegular(path: string, undone = "nothing was written"): MidctlError {
  return new MidctlError("usage", `${quote(path)} is no regular file; ${undone}.`, {
    hint: "Give a file.",
  });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

const NO_FILE: Readonly<Record<string, string>> = {
  ELOOP: "it is a symbolic link",
  EISDIR: "it is a directory",
};

/** Before anything was asked of the database. */
function unopened(path: string, error: unknown): MidctlError {
  const code = codeOf(error) ?? "";
  return new MidctlError(
    "usage",
    `${quote(path)} could not be opened (${NO_FILE[code] ?? code}); nothing was exported.`,
    {
      hint:
        code === "ELOOP"
          ? "Give --out the file itself."
          : isFull(error)
            ? "Make room there, and run the same command again."
            : "Give --out a file in a directory that you may write to.",
    },
  );
}

/** @param hasHead whether there is a head in it */
function unusable(path: string, error: unknown, hasHead: boolean): MidctlError {
  return new MidctlError(
    "usage",
    `${quote(path)} could not be written (${codeOf(error)}); ${hasHead ? "what stands in it up to its last head is sound" : "nothing was exported"}.`,
    {
      hint: isFull(error)
        ? `Make room there, and run the same command again${hasHead ? ": it goes on from that head" : ""}.`
        : "Give --out a file in a directory that you may write to.",
    },
  );
}
