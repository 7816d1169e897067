/**
 * The log as a file that is checked without the database: lines of canonical JSON (RFC 8785), entries between heads. A head says how
 * many entries come before it, the root over them, and the complete subtrees that the root is made of; so whoever has the file from any
 * head on can hash what follows and compare it with the next one.
 */
import { canonicalText, parseCanonical } from "./canonical.ts";
import { MidctlError } from "./errors.ts";
import { HASH_SIZE, hashLeaf, peaksOf } from "./merkle.ts";
import { fromBase64 } from "./ssh-wire.ts";
import { TreeBuilder } from "./tree-builder.ts";
import { quote } from "./visible.ts";

export const EXPORT_VERSION = "midctl-log-export@v1";

/** In bytes, without its newline: no reader takes a longer line, and none is written. */
export const LONGEST_LINE = 256 * 1024 * 1024;

const LEAVES_OF_PAGE = 4_096;

export interface ExportedHead {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  /** The complete subtrees of the tree of that size, as `peaksOf` names them. */
  readonly peaks: readonly Buffer[];
  /** The signed note of this head; null where nobody signed it. */
  readonly checkpoint: string | null;
}

export interface ExportedEntry {
  readonly index: number;
  /** Its exact text. */
  readonly entry: string;
}

export type ExportLine = ExportedHead | ExportedEntry;

export function isHead(line: ExportLine): line is ExportedHead {
  return "root" in line;
}

/** With its newline. */
export function writeExportLine(line: ExportLine): string {
  if (!isHead(line)) return `${canonicalText({ index: line.index, entry: line.entry })}\n`;
  const { origin, size, root, peaks, checkpoint } = line;
  return `${canonicalText({
    version: EXPORT_VERSION,
    origin,
    size,
    root: root.toString("base64"),
    peaks: peaks.map((hash) => hash.toString("base64")),
    checkpoint,
  })}\n`;
}

/** Whether the line of an entry is no longer than a line may be. Does not write it: it may be longer than any text. */
export function fitsLine({ index, entry }: ExportedEntry, longest = LONGEST_LINE): boolean {
  const room = longest + 1 - writeExportLine({ index, entry: "" }).length - Buffer.byteLength(entry);
  if (room < 0 || entry.length * MOST_ESCAPED <= room) return room >= 0;
  let escaped = 0;
  for (let at = 0; at < entry.length && escaped <= room; at++) escaped += escapedBytes(entry.charCodeAt(at));
  return escaped <= room;
}

/** Bytes that JSON adds to a character at most, for what it writes as `\u0000`. */
const MOST_ESCAPED = 5;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** That it adds to each control character. */
const CONTROLS = Array.from(
  { length: 0x20 },
  (_, code) => JSON.stringify(String.fromCharCode(code)).length - 3,
);

function escapedBytes(code: number): number {
  return code === QUOTE || code === BACKSLASH ? 1 : (CONTROLS[code] ?? 0);
}

/** Takes a line apart, without its newline; null for what is none. Compares no hashes. Never throws. */
export function parseExportLine(text: string): ExportLine | null {
  let json: unknown;
  try {
    json = parseCanonical(text);
  } catch (error) {
    if (error instanceof MidctlError) return null;
    throw error;
  }
  if (typeof json !== "object" || json === null) return null;
  const fields = json as Readonly<Record<string, unknown>>;
  return "entry" in fields ? entryOf(fields) : headOf(fields);
}

/** Whether this first line of a file is of an export, though perhaps not as it was written: by an editor, or copied as text. */
export function resemblesExport(line: string): boolean {
  try {
    const json = JSON.parse(line.replace(/^\uFEFF/, "")) as unknown;
    if (typeof json !== "object" || json === null) return false;
    const { version, index, entry } = json as Readonly<Record<string, unknown>>;
    return (
      version === EXPORT_VERSION || (version === undefined && isCount(index) && typeof entry === "string")
    );
  } catch {
    return false;
  }
}

function entryOf({ index, entry, ...others }: Readonly<Record<string, unknown>>): ExportedEntry | null {
  if (!isCount(index) || typeof entry !== "string" || Object.keys(others).length > 0) return null;
  return { index, entry };
}

function headOf(fields: Readonly<Record<string, unknown>>): ExportedHead | null {
  const { version, origin, size, root: rootText, peaks: peakTexts, checkpoint, ...others } = fields;
  if (version !== EXPORT_VERSION || Object.keys(others).length > 0 || !isCount(size)) return null;
  if (typeof origin !== "string" || (typeof checkpoint !== "string" && checkpoint !== null)) return null;
  const root = hashOf(rootText);
  const peaks = Array.isArray(peakTexts) ? peakTexts.map(hashOf) : [];
  const whole = peaks.filter((hash) => hash !== null);
  if (root === null || whole.length !== peaks.length || whole.length !== peaksOf(size).length) return null;
  return { origin, size, root, peaks: whole, checkpoint };
}

/** Hashes of entries that were exported, 32 bytes each, by index. */
export class ExportedLeaves {
  readonly begin: number;
  readonly #pages: Buffer[] = [];
  #count = 0;

  /** @param begin the first one's index */
  constructor(begin: number) {
    this.begin = begin;
  }

  /** Behind the last one. */
  get end(): number {
    return this.begin + this.#count;
  }

  add(leaf: Uint8Array): void {
    const at = this.#count % LEAVES_OF_PAGE;
    if (at === 0) this.#pages.push(Buffer.alloc(LEAVES_OF_PAGE * HASH_SIZE));
    this.#pages.at(-1)?.set(leaf, at * HASH_SIZE);
    this.#count++;
  }

  /** null for one that was not exported. */
  at(index: number): Buffer | null {
    const place = index - this.begin;
    if (place < 0 || place >= this.#count) return null;
    const at = (place % LEAVES_OF_PAGE) * HASH_SIZE;
    return this.#pages[Math.floor(place / LEAVES_OF_PAGE)]?.subarray(at, at + HASH_SIZE) ?? null;
  }
}

/** The tree of a head, to be grown by what follows it; null where its subtrees do not make its root. */
export function treeOf({ size, root, peaks }: ExportedHead): TreeBuilder | null {
  const tree = new TreeBuilder(
    peaksOf(size).map((node, at) => ({ node, hash: peaks[at] ?? Buffer.alloc(0) })),
  );
  return root.equals(tree.root()) ? tree : null;
}

/** Walks over the lines of an export and holds them against one another. */
export class ExportReader {
  /** Where it begins. */
  first: ExportedHead | null = null;
  /** The last one that bears out all before it. */
  head: ExportedHead | null = null;
  readonly #what: string;
  readonly #undone: string;
  #tree = new TreeBuilder();
  #number = 0;

  /** @param what is read, and what does not happen where it is wrong, for messages */
  constructor(what: string, undone: string) {
    this.#what = what;
    this.#undone = undone;
  }

  /** How many entries the log has by the lines so far. */
  get size(): number {
    return this.#tree.size;
  }

  /** Of the tree over those. */
  root(): Uint8Array {
    return this.#tree.root();
  }

  /**
   * @param text of the next line; null for one that is too long
   * @param isEnded whether a newline follows it: an export that is interrupted leaves the last line without
   * @throws MidctlError `usage` for what is no line of an export, `conflict` where it does not fit those before it, or was cut short
   */
  take(text: string | null, isEnded = true): ExportLine {
    this.#number++;
    if (text === null) throw this.#tooLong();
    const line = parseExportLine(text);
    if (line === null && !isEnded && this.first !== null) throw this.#cutShort(` in line ${this.#number}`);
    if (line === null || (this.first === null && !isHead(line))) {
      throw new MidctlError(
        "usage",
        `Line ${this.#number} of ${quote(this.#what)} is none of an export of the log${text.endsWith("\r") ? " as it was written: it ends in CR LF" : ""}; ${this.#undone}.`,
        { hint: "Give a file that `midctl audit export` wrote, as it wrote it." },
      );
    }
    if (isHead(line)) this.#takeHead(line);
    else {
      if (line.index !== this.#tree.size) {
        throw this.#broken(`has entry ${line.index} where ${this.#tree.size} follows`);
      }
      this.#tree.add(hashLeaf(line.entry));
    }
    return line;
  }

  /**
   * At the end of the lines.
   * @throws MidctlError `conflict` where entries follow the last head, `usage` where there is none
   */
  end(): ExportedHead {
    if (this.head === null) {
      throw new MidctlError("usage", `${quote(this.#what)} is empty; ${this.#undone}.`, {
        hint: "Give a file that `midctl audit export` wrote.",
      });
    }
    if (this.head.size === this.#tree.size) return this.head;
    throw this.#cutShort(`: no head follows its entries from ${this.head.size} on`);
  }

  #takeHead(head: ExportedHead): void {
    const tree = treeOf(head);
    if (tree === null) throw this.#broken("is a head whose subtrees do not make its root");
    if (this.first === null) this.first = head;
    else {
      if (head.origin !== this.first.origin) throw this.#broken("is of another log");
      if (head.size !== this.#tree.size || !head.root.equals(this.#tree.root())) {
        throw this.#broken(
          `is a head of ${head.size} entries that those before it do not make: between ${this.head?.size ?? 0} and ${head.size} the file was changed`,
        );
      }
    }
    this.#tree = tree;
    this.head = head;
  }

  #tooLong(): MidctlError {
    return new MidctlError(
      "usage",
      `Line ${this.#number} of ${quote(this.#what)} is longer than the ${LONGEST_LINE} bytes that one of an export may have; ${this.#undone}.`,
      { hint: "Give a file that `midctl audit export` wrote, as it wrote it." },
    );
  }

  #cutShort(where: string): MidctlError {
    return new MidctlError("conflict", `${quote(this.#what)} was cut short${where}; ${this.#undone}.`, {
      hint: "`midctl audit export --out` into the same file goes on from its last head.",
    });
  }

  #broken(what: string): MidctlError {
    return new MidctlError(
      "conflict",
      `Line ${this.#number} of ${quote(this.#what)} ${what}; ${this.#undone}.`,
      {
        hint: "Use another copy of the file, and find out who changed this one.",
        details: { line: this.#number, soundTo: this.head?.size ?? 0 },
      },
    );
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function hashOf(value: unknown): Buffer | null {
  const bytes = typeof value === "string" ? fromBase64(value) : null;
  return bytes?.length === HASH_SIZE ? bytes : null;
}
