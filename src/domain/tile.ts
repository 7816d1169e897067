/**
 * How the tree over the log is stored (migrations/0016): a tile holds the four children of a subtree of height two, once they
 * are complete; what is in no tile yet is the edge.
 */
import { HASH_SIZE, hashChildren, hashPairs, type ReadNodes, type TreeNode } from "./merkle.ts";

/** Which tile: the one at `position` on its level, from the left. */
export interface Tile {
  readonly level: number;
  readonly position: number;
}

export interface StoredTree {
  /** How many leaves it has. */
  readonly size: number;
  /** For each level, the hashes that are in no tile: 0 to 3, one after the other. */
  readonly edge: readonly Uint8Array[];
  /** Four hashes for each tile, in the order asked for. */
  readTiles(tiles: readonly Tile[]): Promise<readonly Uint8Array[]>;
}

/** Whether the edge has the hashes that a log so long has in no tile yet, and no others. */
export function isEdgeOf(size: number, edge: readonly Uint8Array[]): boolean {
  return edge.every(({ length }, level) => length === HASH_SIZE * (Math.floor(size / 4 ** level) % 4));
}

/** Tiles of one level that lie side by side. */
export interface TileRun {
  readonly level: number;
  /** The first one's position, and that behind the last. */
  readonly from: number;
  readonly until: number;
}

/** The tiles that the subtree over these leaves is made of, from below: as many leaves as a power of four, from a multiple of it on. */
export function tilesOver(from: number, until: number): TileRun[] {
  const runs: TileRun[] = [];
  for (let level = 0; 4 ** (level + 1) <= until - from; level++) {
    const width = 4 ** (level + 1);
    runs.push({ level, from: from / width, until: until / width });
  }
  return runs;
}

/**
 * The root over leaves of which all that is stored above them is the hash of what it is of; null where anything is not.
 * @param stored the hashes of `tilesOver` the leaves, side by side; null for a level of which not all are there
 */
export function rootOver(leaves: Buffer, stored: readonly (Buffer | null)[]): Buffer | null {
  let hashes = leaves;
  for (const level of stored) {
    if (level?.equals(hashes) !== true) return null;
    hashes = hashPairs(hashPairs(hashes));
  }
  return hashes;
}

/** Reads complete subtrees of a stored tree: each of its tiles once. */
export function readNodesOf({ size, edge, readTiles }: StoredTree): ReadNodes {
  return async (nodes) => {
    const places = nodes.map(placeOf);
    const wanted = new Map<number, Tile>();
    for (const place of places) {
      if (place.position < tilesOn(place.level, size)) wanted.set(nameOf(place), place);
    }
    const read = wanted.size === 0 ? [] : await readTiles([...wanted.values()]);
    const tiles = new Map([...wanted.keys()].map((name, at) => [name, read[at]]));
    return places.map((place) => {
      const [first, count] = place.children;
      const hashes = tiles.get(nameOf(place)) ?? edge[place.level] ?? Buffer.alloc(0);
      const child = (at: number) => hashes.subarray(at * HASH_SIZE, (at + 1) * HASH_SIZE);
      return count === 1 ? child(first) : hashChildren(child(first), child(first + 1));
    });
  };
}

/** Where a node is: a child of a tile, or the root of two. */
function placeOf({ level, index }: TreeNode): Tile & { readonly children: [first: number, count: 1 | 2] } {
  const isChild = level % 2 === 0;
  const first = (isChild ? index : index * 2) % 4;
  return {
    level: Math.floor(level / 2),
    position: Math.floor((isChild ? index : index * 2) / 4),
    children: [first, isChild ? 1 : 2],
  };
}

/** One number for each tile, exact for logs of up to 2^50 entries, which have no more than 25 levels. */
function nameOf({ level, position }: Tile): number {
  return position * 32 + level;
}

/** How many tiles are complete. */
function tilesOn(level: number, size: number): number {
  return Math.floor(size / 4 ** (level + 1));
}
