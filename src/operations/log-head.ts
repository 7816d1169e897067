import type { Checkpoint } from "../domain/checkpoint.ts";
import { consistencyRanges, isConsistent, readRoots } from "../domain/merkle.ts";
import { readNodesOf, type StoredTree } from "../domain/tile.ts";
import type { Moment } from "../repository/moment.ts";

/**
 * How a log is related to a head that was seen of it before; its root, unless it is shorter. `forked`: its first entries are
 * not those that the head saw.
 */
export type Grown =
  | { readonly growth: "goes_on" | "forked"; readonly root: Buffer }
  | { readonly growth: "shorter"; readonly root: null };

/** The root of the whole tree: from its edge alone, without a tile. */
export async function readRoot(tree: StoredTree): Promise<Buffer> {
  const [root = Buffer.alloc(0)] = await readRoots([{ begin: 0, end: tree.size }], readNodesOf(tree));
  return root;
}

/** A log's head as plans and receipts have it. */
export interface SaidHead {
  readonly size: number;
  /** Hex, of the last entry; null where there is none. */
  readonly leafHash: string | null;
  /** Hex, of the RFC 9162 tree over all; left out where a schema has no tree yet. */
  readonly root?: string;
}

export async function sayHead({ size, leafHash, edge }: Moment): Promise<SaidHead> {
  if (edge === null) return { size, leafHash };
  // The edge is all that the whole tree's root is made of.
  const root = await readRoot({ size, edge, readTiles: async () => [] });
  return { size, leafHash, root: root.toString("hex") };
}

/**
 * Whether the log goes on from a head that was seen of it before, by a consistency proof (RFC 9162 §2.1.4): as many rows as the
 * tree has levels at most, and none where nothing that the head saw has gone into a tile since.
 * @throws what `tree.readTiles` throws
 */
export async function readGrowth(tree: StoredTree, seen: Pick<Checkpoint, "size" | "root">): Promise<Grown> {
  if (tree.size < seen.size) return { growth: "shorter", root: null };
  const ranges = [{ begin: 0, end: tree.size }, ...consistencyRanges(seen.size, tree.size)];
  const [root = Buffer.alloc(0), ...path] = await readRoots(ranges, readNodesOf(tree));
  const grown = { first: seen.size, firstRoot: seen.root, second: tree.size, secondRoot: root, path };
  return { growth: isConsistent(grown) ? "goes_on" : "forked", root };
}
