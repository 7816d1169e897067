/** A file of checkpoints, one after the other, that only grows. */
import fs from "node:fs";
import { dirname } from "node:path";
import {
  judgeNote,
  parseCheckpoints,
  parseLastCheckpoint,
  type SignedCheckpoint,
  type VerifierKey,
} from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readRegularFile } from "./regular-file.ts";
import { syncDirectory } from "./token-file.ts";

/** In bytes: of a checkpoint with all the signatures that it may have. */
const TAIL = 64 * 1024;
/** In bytes: of a whole file, some twenty thousand checkpoints. */
const LONGEST = 8 * 1024 * 1024;

/**
 * The last checkpoint of a file; null where there is no such file, or nothing in it.
 * @throws MidctlError `usage` for what is no regular file, `conflict` for one that ends with something else
 */
export function readLastCheckpoint(path: string): SignedCheckpoint | null {
  const tail = readTail(path);
  if (tail === null || tail.length === 0) return null;
  const last = parseLastCheckpoint(tail.toString("utf8"));
  if (last !== null) return last;
  throw new MidctlError("conflict", `${quote(path)} does not end with a checkpoint; nothing was written.`, {
    hint: "Look at its end, or give --out another file.",
  });
}

/**
 * All checkpoints of a file, for whoever compares a log with them.
 * @param key whose signature each must bear; null where the file itself is trusted
 * @throws MidctlError `usage` for what is no file of checkpoints, `conflict` for one that this key did not sign
 */
export function readCheckpoints(path: string, key: VerifierKey | null): readonly SignedCheckpoint[] {
  const text = readRegularFile(path, LONGEST, "nothing was verified");
  const checkpoints = parseCheckpoints(text);
  if (checkpoints.length === 0) {
    throw new MidctlError("usage", `${quote(path)} is empty; nothing was verified.`, {
      hint: "Without checkpoints leave --checkpoint out: then the log is compared with itself alone.",
    });
  }
  return checkpoints.map((checkpoint, at) => {
    if (checkpoint === null) {
      throw new MidctlError(
        "usage",
        `${quote(path)} holds no checkpoint at its place ${at + 1}; nothing was verified.`,
        {
          hint: "Give a file that midctl audit checkpoint --out wrote.",
        },
      );
    }
    if (key !== null && judgeNote(checkpoint, key) !== "good") {
      throw new MidctlError(
        "conflict",
        `Checkpoint ${at + 1} of ${quote(path)}, of size ${checkpoint.size}, is not signed by ${key.name}+${key.id}; nothing was verified.`,
        { hint: "Whoever wrote it is not whom you trust: find out who, and use another copy of the file." },
      );
    }
    return checkpoint;
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
    throw unusable(path, error, "nothing was written");
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

function readTail(path: string): Buffer | null {
  let file: number | undefined;
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const found = fs.fstatSync(file);
    if (!found.isFile()) {
      throw new MidctlError("usage", `${quote(path)} is no regular file; nothing was written.`, {
        hint: "Give --out a file that can grow.",
      });
    }
    const tail = Buffer.alloc(Math.min(found.size, TAIL));
    const length = fs.readSync(file, tail, 0, tail.length, found.size - tail.length);
    return tail.subarray(0, length);
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw unusable(path, error, "nothing was written");
  } finally {
    if (file !== undefined) fs.closeSync(file);
  }
}

function takeBack(file: number, size: number): void {
  try {
    fs.ftruncateSync(file, size);
  } catch {
    // What follows says that the file could not be written; the next run, that it does not end with a checkpoint.
  }
}

function unusable(path: string, error: unknown, undone: string): MidctlError {
  const { code } = error as NodeJS.ErrnoException;
  return new MidctlError("usage", `${quote(path)} could not be used (${code}); ${undone}.`, {
    hint: "Give --out a file in a directory that you may write to.",
  });
}
