/** A file that was not there, whole and synced, or none. */
import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from "node:fs";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readRegularFile } from "./regular-file.ts";

/**
 * @param said what did not happen where it cannot be written, and what to do
 * @throws MidctlError `conflict` for a file that is there already, `usage` for one that cannot be written
 */
export function writeNewFile(
  path: string,
  text: string,
  said: { readonly undone: string; readonly hint: string },
): void {
  let file: number | undefined;
  try {
    file = openSync(path, "wx", 0o644);
    writeFileSync(file, text);
    fsyncSync(file);
  } catch (error) {
    if (file !== undefined) rmSync(path, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    throw code === "EEXIST"
      ? new MidctlError("conflict", `${quote(path)} exists and is not overwritten; ${said.undone}.`, {
          hint: said.hint,
        })
      : new MidctlError("usage", `${quote(path)} could not be written (${code}); ${said.undone}.`, {
          hint: said.hint,
        });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/**
 * As `writeNewFile`, and a file that holds this very text already is as good.
 * @returns whether it was written
 */
export function writeOnce(...[path, text, said]: Parameters<typeof writeNewFile>): boolean {
  if (holds(path, text)) return false;
  writeNewFile(path, text, said);
  return true;
}

function holds(path: string, text: string): boolean {
  try {
    return readRegularFile(path, Buffer.byteLength(text), "") === text;
  } catch (error) {
    if (error instanceof MidctlError) return false;
    throw error;
  }
}
