import fc from "fast-check";
import { expect, it } from "vitest";
import { consistencyRanges, inclusionRanges, type LeafRange, readRoots } from "../../src/domain/merkle.ts";
import { readNodesOf, type Tile } from "../../src/domain/tile.ts";

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
