import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { MidctlError } from "../domain/errors.ts";

/** Whether a file could not be written for want of room, which its place and its rights have nothing to do with. */
export function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}

/**
 * The text of a small file. A device or a pipe never ends, or waits for ever: only what is a regular file is read, and no more
 * than it may hold.
 * @param most bytes
 * @param undone what did not happen, for the message
 * @throws MidctlError `usage`
 */
export function readRegularFile(path: string, most: number, undone: string): string {
  return readRegularBytes(path, most, undone).toString("utf8");
}

/** As `readRegularFile`, and the bytes as they are. */
export function readRegularBytes(path: string, most: number, undone: string): Buffer {
  const refuse = (why: string): MidctlError => new MidctlError("usage", `the file ${path} ${why}; ${undone}`);
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = fstatSync(file);
    if (!found.isFile()) throw refuse("is no regular file");
    const bytes = Buffer.alloc(most + 1);
    let length = 0;
    for (let read = 1; read > 0 && length <= most; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > most) throw refuse("is too large");
    return bytes.subarray(0, length);
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    throw refuse(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
