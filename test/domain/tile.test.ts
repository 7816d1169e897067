import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  consistencyRanges,
  HASH_SIZE,
  inclusionRanges,
  type LeafRange,
  readRoots,
} from "../../src/domain/merkle.ts";
import { readNodesOf, rootOver, type Tile, tilesOver } from "../../src/domain/tile.ts";
import { TreeBuilder } from "../../src/domain/tree-builder.ts";

/** What the issue allows, with the head's row, and with the entry's where one is proven. */
const MOST_ROWS = 20;
const MILLION = 1_000_000;
const anySize = fc.oneof(
  fc.integer({ min: 1, max: MILLION }),
  fc.constantFrom(MILLION, 2 ** 19, 2 ** 19 - 1, 349_525, 699_050),
);

it("reads at most 20 rows for the head of a million entries, and of every size before", async () => {
  await fc.assert(
    fc.asyncProperty(anySize, async (size) => {
      expect(1 + (await countTiles([{ begin: 0, end: size }]))).toBeLessThanOrEqual(MOST_ROWS);
    }),
  );
});

it("reads at most 20 rows to prove any entry in any head, with that head's root", async () => {
  await fc.assert(
    fc.asyncProperty(anySize, fc.nat(), async (size, at) => {
      const index = at % size;
      const rows = 2 + (await countTiles([{ begin: 0, end: size }, ...inclusionRanges(index, size)]));
      expect(rows).toBeLessThanOrEqual(MOST_ROWS);
    }),
    { numRuns: 2000 },
  );
});

it("reads at most 20 rows to prove that any head comes after any other, with the root of the later one", async () => {
  await fc.assert(
    fc.asyncProperty(anySize, fc.nat(), async (second, at) => {
      const first = 1 + (at % second);
      const rows = 1 + (await countTiles([{ begin: 0, end: second }, ...consistencyRanges(first, second)]));
      expect(rows).toBeLessThanOrEqual(MOST_ROWS);
    }),
    { numRuns: 2000 },
  );
});

it("reads no tile for the head as it is: the edge has all of it", async () => {
  expect(await countTiles([{ begin: 0, end: MILLION }])).toBe(0);
});

it("asks for all tiles at once, and for each once", async () => {
  const asked: (readonly Tile[])[] = [];
  await readRoots(
    inclusionRanges(123_456, MILLION),
    treeOf(MILLION, (tiles) => asked.push(tiles)),
  );

  expect(asked).toHaveLength(1);
  const names = asked.flat().map(({ level, position }) => `${level}/${position}`);
  expect(new Set(names).size).toBe(names.length);
});

describe("the root over leaves that lie side by side", () => {
  const leaves = Buffer.from(Array.from({ length: 64 * HASH_SIZE }, (_, at) => (at * 7 + (at >> 5)) % 256));
  const tree = new TreeBuilder();
  const stored = [[], [], []] as Buffer[][];
  for (let at = 0; at < leaves.length; at += HASH_SIZE) {
    const leaf = leaves.subarray(at, at + HASH_SIZE);
    stored[0]?.push(leaf);
    tree.add(leaf, ({ level }, hash) => level % 2 === 0 && stored[level / 2]?.push(Buffer.from(hash)));
  }
  const levels = stored.map((hashes) => Buffer.concat(hashes));

  it("is that of the tree that grew leaf by leaf", () => {
    expect(rootOver(leaves, levels)?.toString("hex")).toBe(Buffer.from(tree.root()).toString("hex"));
  });

  it("is none where any byte of what is stored above them is another, or missing", () => {
    for (const [level, hashes] of levels.entries()) {
      for (let at = 0; at < hashes.length; at++) {
        const other = Buffer.from(hashes);
        other[at] = (hashes[at] ?? 0) ^ 1;
        expect(rootOver(leaves, levels.with(level, other))).toBeNull();
      }
      expect(rootOver(leaves, levels.with(level, hashes.subarray(0, -HASH_SIZE)))).toBeNull();
      expect(rootOver(leaves, (levels as (Buffer | null)[]).with(level, null))).toBeNull();
    }
  });

  it("is made of the tiles over the leaves, on each level side by side", () => {
    expect(tilesOver(128, 192)).toEqual([
      { level: 0, from: 32, until: 48 },
      { level: 1, from: 8, until: 12 },
      { level: 2, from: 2, until: 3 },
    ]);
  });
});

async function countTiles(ranges: readonly LeafRange[]): Promise<number> {
  let count = 0;
  await readRoots(
    ranges,
    treeOf(MILLION, (tiles) => (count += tiles.length)),
  );
  return count;
}

/** A tree of so many leaves, whose hashes nobody looks at. */
function treeOf(size: number, onRead: (tiles: readonly Tile[]) => void) {
  const edge: Buffer[] = [];
  for (let left = size; left > 0; left = Math.floor(left / 4)) edge.push(Buffer.alloc(32 * (left % 4)));
  return readNodesOf({
    size,
    edge,
    async readTiles(tiles) {
      onRead(tiles);
      return tiles.map(() => Buffer.alloc(128));
    },
  });
}
