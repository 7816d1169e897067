import { MidctlError } from "../domain/errors.ts";

/** Where the next page of a list begins: opaque to whoever carries it, and bound to the list and order that made it. */
export function writeCursor(list: string, parts: readonly string[]): string {
  return Buffer.from(JSON.stringify([list, ...parts])).toString("base64url");
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
    hint: "Give the nextCursor of a page with the same --sort, or leave --cursor out to begin anew.",
  });
}
