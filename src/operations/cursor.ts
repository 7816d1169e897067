import { MidctlError } from "../domain/errors.ts";
import { EARLIEST } from "../domain/instant.ts";

/** Where the next page of a list begins: opaque to whoever carries it, and bound to the list and order that made it. */
export function writeCursor(list: string, parts: readonly string[]): string {
  return Buffer.from(JSON.stringify([list, ...parts])).toString("base64url");
}

const SECONDS = "2026-01-31 23:59:59".length;

/** Whether a text begins with a moment to the second, whatever stands between day and hour. The 31st of February is none, though it looks like one. */
export function beginsWithMoment(text: string): boolean {
  const moment = text.slice(0, SECONDS).replace(" ", "T");
  const ms = Date.parse(`${moment}Z`);
  return ms >= EARLIEST && new Date(ms).toISOString().startsWith(moment);
}

/**
 * The parts of a cursor. Throws `usage` for anything that this list did not write.
 * @param fits whether it wrote these parts, one space between two
 */
export function readCursor(
  list: string,
  cursor: string,
  length: number,
  fits: (parts: string) => boolean = () => true,
): string[] {
  try {
    const [from, ...parts] = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8")) as unknown[];
    if (from === list && parts.length === length && parts.every((part) => typeof part === "string")) {
      if (fits(parts.join(" "))) return parts as string[];
    }
  } catch {
    // Said below.
  }
  throw new MidctlError("usage", "The cursor is not one of this list.", {
    hint: `Give the nextCursor of a page ${list === "audit" ? "of `midctl audit`" : "with the same --sort"}, or leave --cursor out to begin anew.`,
  });
}
