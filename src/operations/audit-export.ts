import type { Tx } from "../db/database.ts";
import { originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  type ExportedEntry,
  type ExportedHead,
  fitsLine,
  LONGEST_LINE,
  treeOf,
} from "../domain/log-export.ts";
import { hashLeaf, peaksOf, readRoots } from "../domain/merkle.ts";
import { readNodesOf } from "../domain/tile.ts";
import { readFit } from "../repository/log-size.ts";
import { type LogTree, readLeaves, readTree } from "../repository/tree.ts";

export interface ExportPlan {
  /** Where it begins: the last head of a file that is gone on with, or that of a size. */
  readonly begin: ExportedHead;
  /** How many entries the log has, and with that the export at its end. */
  readonly size: number;
  /** Entries, and the head that they come to; one part in memory at a time. */
  parts(): AsyncGenerator<ExportPart>;
}

export interface ExportPart {
  readonly entries: readonly ExportedEntry[];
  readonly head: ExportedHead;
}

/** Entries between two heads, if they come to no more than so many bytes. */
const PART = 1_024;
const PART_LENGTH = 4 * 1024 * 1024;

/**
 * Exports the log from a head on, up to what it is now. Each part is held against the tree before it is handed over, so that what is
 * exported is what the log was made of.
 * @param from a head that was exported before, or a number of entries
 * @throws MidctlError `conflict` where the log does not go on from there, and while parts are read, where entries are not those of
 * the tree, or one is too long for a line
 */
export async function exportLog(db: Tx, from: ExportedHead | number): Promise<ExportPlan> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  const size = typeof from === "number" ? from : from.size;
  if (typeof from === "object" && from.origin !== origin) {
    throw new MidctlError(
      "conflict",
      `The file is an export of another log (${from.origin}, and this is ${origin}); nothing was exported.`,
      { hint: "Give --out a file of its own for each database." },
    );
  }
  if (size > tree.size) {
    throw typeof from === "number"
      ? new MidctlError(
          "conflict",
          `The log has ${tree.size} entries, and ${size} were to be left out; nothing was exported.`,
          {
            hint: `Leave --from out for all of them, or give ${tree.size} at most.`,
            details: { size: tree.size, from: size },
          },
        )
      : broken(
          `The log has ${tree.size} entries, and the file has ${size}: it was truncated, or restored from before; nothing was exported.`,
          { size: tree.size, seen: size },
        );
  }
  const found = await headAt(tree, size);
  if (typeof from === "object" && !from.root.equals(found.root)) {
    throw broken(
      `The log's first ${size} entries are not those in the file: it was rewritten; nothing was exported.`,
      {
        size: tree.size,
        seen: size,
      },
    );
  }
  const begin = typeof from === "number" ? found : from;
  return { begin, size: tree.size, parts: () => readParts(db, tree, begin) };
}

async function* readParts(db: Tx, tree: LogTree, begin: ExportedHead): AsyncGenerator<ExportPart> {
  const grown = treeOf(begin);
  for (let at = begin.size; at < tree.size && grown !== null; ) {
    const entries = await readPart(db, at, Math.min(tree.size, (Math.floor(at / PART) + 1) * PART));
    const head = await headAt(tree, at + entries.length);
    for (const { entry } of entries) grown.add(hashLeaf(entry));
    const isGapless = entries.every(({ index }, n) => index === at + n);
    if (entries.length === 0 || !isGapless || !head.root.equals(grown.root())) {
      throw broken(
        `From log_${at} on the entries are not those that the tree over the log was made of; what was exported before stands.`,
        { soundTo: at },
      );
    }
    yield { entries, head };
    at += entries.length;
  }
}

async function readPart(db: Tx, from: number, until: number): Promise<ExportedEntry[]> {
  const fit = await readFit(db, from, until, PART_LENGTH);
  if (fit.first > LONGEST_LINE) throw tooLong(from, fit.first);
  const rows = await readLeaves(db, from, fit.until);
  const entries = rows.map(({ index, entry }) => ({ index, entry }));
  const [first] = entries;
  if (first !== undefined && !fitsLine(first)) throw tooLong(first.index, fit.first);
  return entries;
}

/** No reader would take the line: it is not written, nor what follows it, for entries have no gaps in a file. */
function tooLong(index: number, bytes: number): MidctlError {
  return new MidctlError(
    "conflict",
    `log_${index} has ${bytes} bytes, and its line would be longer than the ${LONGEST_LINE} that an export's may have; what was exported before it stands.`,
    {
      hint: `Export what follows into a file of its own, with --from ${index + 1}, and keep log_${index} by a backup of the database.`,
      details: { soundTo: index, bytes },
    },
  );
}

async function headAt(tree: LogTree, size: number): Promise<ExportedHead> {
  const peaks = peaksOf(size).map(({ level, index }) => ({
    begin: index * 2 ** level,
    end: (index + 1) * 2 ** level,
  }));
  const [root = Buffer.alloc(0), ...hashes] = await readRoots(
    [{ begin: 0, end: size }, ...peaks],
    readNodesOf(tree),
  );
  return { origin: originOf(tree.databaseId), size, root, peaks: hashes, checkpoint: null };
}

function broken(message: string, details: Readonly<Record<string, number>>): MidctlError {
  return new MidctlError("conflict", message, {
    hint: "Keep what was exported before; `midctl audit verify --export FILE` says what was done to the log.",
    details,
  });
}
