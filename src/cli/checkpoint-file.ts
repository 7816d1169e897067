/** A file of checkpoints, one after the other, that only grows. */
import fs from "node:fs";
import { dirname } from "node:path";
import { syncDirectory } from "../db/directory.ts";
import {
  judgeNote,
  parseCheckpoint,
  parseLastCheckpoint,
  type SignedCheckpoint,
  splitNotes,
  type VerifierKey,
} from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { EMPTY_ROOT } from "../domain/merkle.ts";
import { quote } from "../domain/visible.ts";
import { isFull } from "./regular-file.ts";

/** In bytes: of a checkpoint with all the signatures that it may have. */
const TAIL = 64 * 1024;
/** Of a file that is read whole, part by part. */
const PART = 256 * 1024;
/** What is longer than this is no checkpoint. */
const LONGEST_NOTE = 4_000_000;
const LINE_FEED = 10;
const BYTE_ORDER_MARK = "\ufeff";
const CARRIAGE_RETURN = "\r\n";

/** Which option named the file, and what did not happen. */
export interface FileUse {
  readonly flag: string;
  readonly undone: string;
}

const APPENDING: FileUse = { flag: "--out", undone: "nothing was written" };
const COMPARING: FileUse = { flag: "--checkpoint", undone: "nothing was verified" };

/**
 * The last checkpoint of a file; null where there is no such file, or nothing in it.
 * @throws MidctlError `usage` for what is no regular file, `conflict` for one that ends with something else
 */
export function readLastCheckpoint(path: string, use = APPENDING): SignedCheckpoint | null {
  const tail = readTail(path, use);
  if (tail === null || tail.length === 0) return null;
  const text = tail.toString("utf8");
  if (text.startsWith(BYTE_ORDER_MARK)) throw marked(path, use);
  const last = parseLastCheckpoint(text);
  if (last !== null) {
    refuseImpossible(last, `The last checkpoint of ${quote(path)}`, use);
    return last;
  }
  if (text.includes(CARRIAGE_RETURN)) throw returned(path, use);
  throw new MidctlError("conflict", `${quote(path)} does not end with a checkpoint; ${use.undone}.`, {
    hint: `Look at its end, or give ${use.flag} another file.`,
  });
}

/**
 * All checkpoints of a file, for whoever compares a log with them.
 * @param key whose signature each must bear; null where the file itself is trusted
 * @throws MidctlError `usage` for what is no file of checkpoints, `conflict` for one that this key did not sign
 */
export function readCheckpoints(path: string, key: VerifierKey | null): readonly SignedCheckpoint[] {
  const checkpoints: SignedCheckpoint[] = [];
  for (const checkpoint of eachCheckpoint(path, COMPARING)) {
    checkpoints.push(checkpoint);
    if (key === null || judgeNote(checkpoint, key) === "good") continue;
    throw new MidctlError(
      "conflict",
      `Checkpoint ${checkpoints.length} of ${quote(path)}, of size ${checkpoint.size}, is not signed by ${key.name}+${key.id}; ${COMPARING.undone}.`,
      { hint: "Whoever wrote it is not whom you trust: find out who, and use another copy of the file." },
    );
  }
  if (checkpoints.length > 0) return checkpoints;
  throw new MidctlError("usage", `${quote(path)} is empty; ${COMPARING.undone}.`, {
    hint: "Without checkpoints leave --checkpoint out: then the log is compared with itself alone.",
  });
}

/**
 * Appends one, synced with the directory where the file is new. A note that cannot be written whole is taken back.
 * @throws MidctlError `usage`
 */
export function appendCheckpoint(path: string, note: string): void {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = fs.constants;
  let file: number | undefined;
  let before: number | undefined;
  try {
    file = fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o644);
    before = fs.fstatSync(file).size;
    fs.writeFileSync(file, note);
    fs.fsyncSync(file);
    if (before === 0) syncDirectory(dirname(path));
  } catch (error) {
    if (file !== undefined && before !== undefined) takeBack(file, before);
    throw unusable(path, error, APPENDING);
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

/**
 * Every checkpoint of a file, from the first on, read part by part.
 * @throws MidctlError `usage` for what cannot be read, and where something else is in it
 */
export function* eachCheckpoint(path: string, use: FileUse): Generator<SignedCheckpoint> {
  let number = 0;
  for (const note of readNotes(path, use)) {
    number += 1;
    if (number === 1 && note.startsWith(BYTE_ORDER_MARK)) throw marked(path, use);
    const checkpoint = parseCheckpoint(note);
    if (checkpoint === null && note.includes(CARRIAGE_RETURN)) throw returned(path, use);
    if (checkpoint === null) {
      throw new MidctlError("usage", `Note ${number} of ${quote(path)} is no checkpoint; ${use.undone}.`, {
        hint: `Give ${use.flag} the file that \`midctl audit checkpoint --out\` wrote, as it wrote it.`,
      });
    }
    refuseImpossible(checkpoint, `Note ${number} of ${quote(path)}`, use);
    yield checkpoint;
  }
}

/** Every log begins with the empty one, which has one root. */
function refuseImpossible({ size, root }: SignedCheckpoint, what: string, { undone }: FileUse): void {
  if (size > 0 || root.equals(EMPTY_ROOT)) return;
  throw new MidctlError(
    "usage",
    `${what} is of no entries, and has another root than a log without any; ${undone}.`,
    { hint: "No log has that head: find out who wrote it, and use another copy of the file." },
  );
}

function* readNotes(path: string, use: FileUse): Generator<string> {
  let file: number | undefined;
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    if (!fs.fstatSync(file).isFile()) throw notRegular(path, use);
    const part = Buffer.alloc(PART);
    let text = "";
    let line: Buffer = Buffer.alloc(0);
    for (let length = fs.readSync(file, part); length > 0; length = fs.readSync(file, part)) {
      const bytes = Buffer.concat([line, part.subarray(0, length)]);
      // Behind a newline no character is cut in two.
      const whole = bytes.lastIndexOf(LINE_FEED) + 1;
      const notes = splitNotes(text + bytes.toString("utf8", 0, whole));
      // It may go on in the next part.
      text = notes.pop() ?? "";
      line = bytes.subarray(whole);
      yield* notes;
      if (text.length + line.length > LONGEST_NOTE) break;
    }
    yield* splitNotes(text + line.toString("utf8"));
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    throw unusable(path, error, use);
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

function readTail(path: string, use: FileUse): Buffer | null {
  let file: number | undefined;
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const found = fs.fstatSync(file);
    if (!found.isFile()) throw notRegular(path, use);
    const tail = Buffer.alloc(Math.min(found.size, TAIL));
    const length = fs.readSync(file, tail, 0, tail.length, found.size - tail.length);
    return tail.subarray(0, length);
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw unusable(path, error, use);
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

/** Editors write it, and with it the first line is another log's name. */
function marked(path: string, use: FileUse): MidctlError {
  return changed(path, use, "begins with a byte order mark");
}

function returned(path: string, use: FileUse): MidctlError {
  return changed(path, use, "has lines that end with CR LF instead of LF alone");
}

function changed(path: string, { flag, undone }: FileUse, how: string): MidctlError {
  return new MidctlError("usage", `${quote(path)} ${how}: something rewrote it; ${undone}.`, {
    hint: `Give ${flag} the file that \`midctl audit checkpoint --out\` wrote, as it wrote it.`,
  });
}

function takeBack(file: number, size: number): void {
  try {
    fs.ftruncateSync(file, size);
  } catch {
    // What follows says that the file could not be written; the next run, that it does not end with a checkpoint.
  }
}

function notRegular(path: string, { flag, undone }: FileUse): MidctlError {
  return new MidctlError("usage", `${quote(path)} is no regular file; ${undone}.`, {
    hint: flag === APPENDING.flag ? "Give a file that can grow." : `Give ${flag} a file of checkpoints.`,
  });
}

function unusable(path: string, error: unknown, { flag, undone }: FileUse): MidctlError {
  const { code } = error as NodeJS.ErrnoException;
  return new MidctlError("usage", `${quote(path)} could not be used (${code}); ${undone}.`, {
    hint:
      flag === APPENDING.flag
        ? isFull(error)
          ? "Make room there, and run the same command again."
          : "Give a file in a directory that you may write to."
        : `Give ${flag} a file of checkpoints that you may read.`,
  });
}
