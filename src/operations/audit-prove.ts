import type { Tx } from "../db/database.ts";
import { type Checkpoint, originOf, type SignedCheckpoint, writeNote } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  consistencyRanges,
  hashLeaf,
  inclusionRanges,
  isConsistent,
  isIncluded,
  readRoots,
} from "../domain/merkle.ts";
import { type ConsistencyProof, type InclusionProof, indexOf, type ProofHead } from "../domain/proof.ts";
import { readNodesOf } from "../domain/tile.ts";
import { readEntry } from "../repository/log.ts";
import { type LogTree, readTree } from "../repository/tree.ts";

/** Which head: a size, one that was signed before, or the one that the log has now. */
export type HeadChoice = number | SignedCheckpoint | "now";

/** Signs a head, and returns the note. */
export type SignHead = (head: Omit<Checkpoint, "extensions">) => Promise<string>;

const BROKEN =
  "Keep the checkpoints, and find out who wrote to the database: its owner, or whoever restored it.";

/**
 * Proves that an entry is in the log, by one statement each for the head, the tiles and the entry: 20 rows at most at a million
 * entries.
 * @param sign of the head as it is now; null leaves it unsigned
 * @throws MidctlError `not_found` for an entry that the log has not, `conflict` for one that a checkpoint had not seen yet, and
 * where the database itself does not bear it out: altered, removed, rewritten, truncated
 */
export async function proveEntry(
  db: Tx,
  index: number,
  against: HeadChoice,
  sign: SignHead | null,
): Promise<InclusionProof> {
  const tree = await readTree(db);
  const size = sizeOf(tree, against);
  if (index >= tree.size) {
    throw new MidctlError("not_found", `The log has no entry log_${index}; nothing was proven.`, {
      hint: tree.size === 0 ? "It is empty." : `Its last one is log_${tree.size - 1}.`,
    });
  }
  if (index >= size) {
    throw new MidctlError(
      "conflict",
      `log_${index} is later than the checkpoint, which saw ${size} entries; nothing was proven.`,
      {
        hint: "Make a new checkpoint, and prove it against that: midctl audit checkpoint --key KEY --out FILE.",
      },
    );
  }
  const ranges = [{ begin: 0, end: size }, ...inclusionRanges(index, size)];
  const [[root = Buffer.alloc(0), ...path], entry] = await Promise.all([
    readRoots(ranges, readNodesOf(tree)),
    readEntry(db, index),
  ]);
  const origin = originOf(tree.databaseId);
  requireRoot(against, root);
  if (entry === null) throw broken(`The log had an entry log_${index}, and its row is gone`, { index });
  if (indexOf(entry) !== index || !isIncluded({ index, size, leaf: hashLeaf(entry), root, path })) {
    throw broken(`log_${index} is not the entry that the tree over the log was made of: it was altered`, {
      index,
    });
  }
  return {
    kind: "inclusion",
    origin,
    head: await headOf(origin, size, root, against, sign),
    index,
    entry,
    path,
  };
}

/**
 * Proves that the log of a later head begins with all of the log of an earlier one.
 * @param sign of the later head, where that is the one of now
 * @throws MidctlError `conflict` for heads that the log never had, or in the wrong order
 */
export async function proveGrowth(
  db: Tx,
  from: Exclude<HeadChoice, "now">,
  to: HeadChoice,
  sign: SignHead | null,
): Promise<ConsistencyProof> {
  const tree = await readTree(db);
  const [first, second] = [sizeOf(tree, from), sizeOf(tree, to)];
  if (first > second) {
    throw new MidctlError(
      "conflict",
      `The earlier head has ${first} entries, and the later one ${second}; nothing was proven.`,
      { hint: "Give --from the smaller one.", details: { from: first, to: second } },
    );
  }
  const ranges = [{ begin: 0, end: first }, { begin: 0, end: second }, ...consistencyRanges(first, second)];
  const [firstRoot = Buffer.alloc(0), secondRoot = Buffer.alloc(0), ...path] = await readRoots(
    ranges,
    readNodesOf(tree),
  );
  requireRoot(from, firstRoot);
  requireRoot(to, secondRoot);
  if (!isConsistent({ first, firstRoot, second, secondRoot, path })) {
    throw broken("The tree over the log contradicts itself: it was rewritten", { from: first, to: second });
  }
  const origin = originOf(tree.databaseId);
  return {
    kind: "consistency",
    origin,
    from: await headOf(origin, first, firstRoot, from, null),
    head: await headOf(origin, second, secondRoot, to, sign),
    path,
  };
}

/** The size of a head, which the log has to have reached. */
function sizeOf(tree: LogTree, choice: HeadChoice): number {
  if (choice === "now") return tree.size;
  if (typeof choice === "number") {
    if (choice <= tree.size) return choice;
    throw new MidctlError(
      "conflict",
      `The log has ${tree.size} entries, and ${choice} were to be proven; nothing was proven.`,
      { details: { size: tree.size, seen: choice } },
    );
  }
  const origin = originOf(tree.databaseId);
  if (choice.origin !== origin) {
    throw new MidctlError(
      "conflict",
      `The checkpoint is of another log (${choice.origin}, and this is ${origin}); nothing was proven.`,
      { hint: "Give the file of checkpoints of this database." },
    );
  }
  if (choice.size <= tree.size) return choice.size;
  throw broken(
    `The log has ${tree.size} entries, and the checkpoint saw ${choice.size}: it was truncated, or restored from before`,
    { size: tree.size, seen: choice.size },
  );
}

function requireRoot(choice: HeadChoice, root: Buffer): void {
  if (typeof choice === "number" || choice === "now" || choice.root.equals(root)) return;
  throw broken(
    `The log's first ${choice.size} entries are not those that the checkpoint saw: it was rewritten`,
    { seen: choice.size },
  );
}

async function headOf(
  origin: string,
  size: number,
  root: Buffer,
  choice: HeadChoice,
  sign: SignHead | null,
): Promise<ProofHead> {
  const signed = typeof choice === "object" ? writeNote(choice) : null;
  const checkpoint = sign === null ? signed : await sign({ origin, size, root });
  return { size, root, checkpoint };
}

function broken(what: string, details: Readonly<Record<string, number>>): MidctlError {
  return new MidctlError("conflict", `${what}; nothing was proven.`, { hint: BROKEN, details });
}
