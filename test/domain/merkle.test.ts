import { hash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  consistencyRanges,
  EMPTY_ROOT,
  hashChildren,
  hashLeaf,
  inclusionRanges,
  isConsistent,
  isIncluded,
  type ReadNodes,
  readRoots,
} from "../../src/domain/merkle.ts";

/**
 * Leaves, roots and proofs of the tests of Certificate Transparency: certificate-transparency's merkle_tree_test.cc, and
 * testonly/ of transparency-dev/merkle after it.
 */
const PUBLISHED_LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
].map((hex) => Buffer.from(hex, "hex"));
const PUBLISHED_ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const PUBLISHED_INCLUSIONS: readonly [index: number, size: number, path: readonly string[]][] = [
  [
    0,
    8,
    [
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
  ],
  [
    5,
    8,
    [
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
  ],
];
const PUBLISHED_CONSISTENCIES: readonly [first: number, second: number, path: readonly string[]][] = [
  [1, 1, []],
  [
    1,
    8,
    [
      "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
  ],
  [
    6,
    8,
    [
      "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
  ],
  [
    2,
    5,
    [
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
  ],
];

describe("the published trees of Certificate Transparency", () => {
  it.each(PUBLISHED_ROOTS.map((root, size) => ({ root, size })))(
    "has the root of $size leaves",
    async (tree) => {
      const [root] = await readRoots([{ begin: 0, end: tree.size }], reading(PUBLISHED_LEAVES));

      expect(root?.toString("hex")).toBe(tree.root);
    },
  );

  it.each(PUBLISHED_INCLUSIONS)("has the path of leaf %i in a tree of %i", async (index, size, published) => {
    const path = await readRoots(inclusionRanges(index, size), reading(PUBLISHED_LEAVES));

    expect(hexOf(path)).toEqual(published);
    expect(
      isIncluded({
        index,
        size,
        leaf: hashLeaf(PUBLISHED_LEAVES[index] ?? ""),
        root: publishedRoot(size),
        path,
      }),
    ).toBe(true);
  });

  it.each(PUBLISHED_CONSISTENCIES)("has the proof from %i to %i leaves", async (first, second, published) => {
    const path = await readRoots(consistencyRanges(first, second), reading(PUBLISHED_LEAVES));

    expect(hexOf(path)).toEqual(published);
    expect(
      isConsistent({
        first,
        firstRoot: publishedRoot(first),
        second,
        secondRoot: publishedRoot(second),
        path,
      }),
    ).toBe(true);
  });
});

describe("against the RFC's recursion, written down naively", () => {
  const sizes = fc.integer({ min: 1, max: 70 });

  it("has the same root of any list", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 4 }), { maxLength: 70 }), async (leaves) => {
        const [root] = await readRoots([{ begin: 0, end: leaves.length }], reading(leaves));
        expect(hexOf([root ?? EMPTY_ROOT])).toEqual([mth(leaves)]);
      }),
    );
  });

  it("has the same inclusion path, and takes it", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (size, at) => {
        const leaves = numbered(size);
        const index = at % size;
        const path = await readRoots(inclusionRanges(index, size), reading(leaves));
        expect(hexOf(path)).toEqual(pathOf(index, leaves));
        expect(
          isIncluded({ index, size, leaf: hashLeaf(leaves[index] ?? ""), root: rootOf(leaves), path }),
        ).toBe(true);
      }),
    );
  });

  it("has the same consistency proof, and takes it", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (second, at) => {
        const leaves = numbered(second);
        const first = 1 + (at % second);
        const path = await readRoots(consistencyRanges(first, second), reading(leaves));
        expect(hexOf(path)).toEqual(proofOf(first, leaves));
        expect(isConsistent(consistencyOf(leaves, first, path))).toBe(true);
      }),
    );
  });

  it("takes no inclusion of another leaf, place, size, root or path", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, at, bit) => {
        const leaves = numbered(size);
        const index = at % size;
        const path = await readRoots(inclusionRanges(index, size), reading(leaves));
        const good = { index, size, leaf: hashLeaf(leaves[index] ?? ""), root: rootOf(leaves), path };
        expect(isIncluded({ ...good, leaf: flip(good.leaf, bit) })).toBe(false);
        expect(isIncluded({ ...good, root: flip(good.root, bit) })).toBe(false);
        expect(isIncluded({ ...good, path: [...path, EMPTY_ROOT] })).toBe(false);
        expect(isIncluded({ ...good, index: size })).toBe(false);
        expect(isIncluded({ ...good, index: -1 })).toBe(false);
        if (size > 1) expect(isIncluded({ ...good, index: (index + 1) % size })).toBe(false);
        for (const [place, hashed] of path.entries()) {
          expect(isIncluded({ ...good, path: path.with(place, flip(hashed, bit)) })).toBe(false);
          expect(isIncluded({ ...good, path: path.toSpliced(place, 1) })).toBe(false);
        }
      }),
    );
  });

  it("takes no consistency with another past, present or path", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 70 }), fc.nat(), fc.nat(), async (second, at, bit) => {
        const leaves = numbered(second);
        const first = 1 + (at % (second - 1));
        const path = await readRoots(consistencyRanges(first, second), reading(leaves));
        const good = consistencyOf(leaves, first, path);
        expect(isConsistent({ ...good, firstRoot: flip(good.firstRoot, bit) })).toBe(false);
        expect(isConsistent({ ...good, secondRoot: flip(good.secondRoot, bit) })).toBe(false);
        expect(isConsistent({ ...good, path: [] })).toBe(false);
        expect(isConsistent({ ...good, path: [...path, EMPTY_ROOT] })).toBe(false);
        for (const [place, hashed] of path.entries()) {
          expect(isConsistent({ ...good, path: path.with(place, flip(hashed, bit)) })).toBe(false);
          expect(isConsistent({ ...good, path: path.toSpliced(place, 1) })).toBe(false);
        }
      }),
    );
  });
});

describe("at the ends", () => {
  const one = hashLeaf("a");
  const two = hashChildren(one, hashLeaf("b"));

  it("takes a tree of one leaf, whose root is the leaf", () => {
    expect(isIncluded({ index: 0, size: 1, leaf: one, root: one, path: [] })).toBe(true);
  });

  it("takes the same tree twice, and no other tree of the same size", () => {
    const same = { first: 2, firstRoot: two, second: 2, secondRoot: two, path: [] };

    expect(isConsistent(same)).toBe(true);
    expect(isConsistent({ ...same, secondRoot: one })).toBe(false);
  });

  it("takes every tree after the empty one, and nothing that is not the empty one", () => {
    const grown = { first: 0, firstRoot: EMPTY_ROOT, second: 2, secondRoot: two, path: [] };

    expect(isConsistent(grown)).toBe(true);
    expect(isConsistent({ ...grown, firstRoot: one })).toBe(false);
  });

  it("takes no tree that became smaller", () => {
    expect(isConsistent({ first: 2, firstRoot: two, second: 1, secondRoot: one, path: [] })).toBe(false);
  });

  it("takes no tree that is larger than the path goes", async () => {
    const leaves = numbered(4);
    const inclusion = await readRoots(inclusionRanges(0, 4), reading(leaves));
    const growth = await readRoots(consistencyRanges(2, 4), reading(leaves));
    const grown = consistencyOf(leaves, 2, growth);

    expect(
      isIncluded({ index: 0, size: 5, leaf: hashLeaf("0"), root: rootOf(leaves), path: inclusion }),
    ).toBe(false);
    expect(isConsistent({ ...grown, second: 9 })).toBe(false);
  });

  it("takes no hash of another length", () => {
    expect(isIncluded({ index: 0, size: 2, leaf: one, root: two, path: [Buffer.alloc(31)] })).toBe(false);
    expect(isIncluded({ index: 0, size: 1, leaf: Buffer.alloc(0), root: Buffer.alloc(0), path: [] })).toBe(
      false,
    );
  });

  it("counts beyond 32 bits: the path of a leaf in a tree of 2^40 has 40 hashes", () => {
    const ranges = inclusionRanges(2 ** 39 + 5, 2 ** 40);

    expect(ranges).toHaveLength(40);
    expect(ranges.at(-1)).toEqual({ begin: 0, end: 2 ** 39 });
  });
});

/** Reads nodes by hashing their leaves anew. */
function reading(leaves: readonly Uint8Array[]): ReadNodes {
  return async (nodes) =>
    nodes.map(({ level, index }) =>
      Buffer.from(mth(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)), "hex"),
    );
}

/** MTH(D_n) of RFC 9162 §2.1.1, in hex. */
function mth(leaves: readonly Uint8Array[]): string {
  if (leaves.length === 0) return sha("");
  const [first] = leaves;
  if (leaves.length === 1) return sha(`00${Buffer.from(first ?? []).toString("hex")}`);
  const k = below(leaves.length);
  return sha(`01${mth(leaves.slice(0, k))}${mth(leaves.slice(k))}`);
}

/** PATH(m, D_n) of §2.1.3.1. */
function pathOf(m: number, leaves: readonly Uint8Array[]): string[] {
  if (leaves.length === 1) return [];
  const k = below(leaves.length);
  return m < k
    ? [...pathOf(m, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...pathOf(m - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}

/** PROOF(m, D_n) of §2.1.4.1. */
function proofOf(m: number, leaves: readonly Uint8Array[], whole = true): string[] {
  if (m === leaves.length) return whole ? [] : [mth(leaves)];
  const k = below(leaves.length);
  return m <= k
    ? [...proofOf(m, leaves.slice(0, k), whole), mth(leaves.slice(k))]
    : [...proofOf(m - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}

function below(n: number): number {
  return 2 ** (Math.ceil(Math.log2(n)) - 1);
}

function sha(hex: string): string {
  return hash("sha256", Buffer.from(hex, "hex"), "hex");
}

function numbered(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(String(index)));
}

function consistencyOf(leaves: readonly Buffer[], first: number, path: readonly Buffer[]) {
  return {
    first,
    firstRoot: rootOf(leaves.slice(0, first)),
    second: leaves.length,
    secondRoot: rootOf(leaves),
    path,
  };
}

function rootOf(leaves: readonly Uint8Array[]): Buffer {
  return Buffer.from(mth(leaves), "hex");
}

function publishedRoot(size: number): Buffer {
  return Buffer.from(PUBLISHED_ROOTS[size] ?? "", "hex");
}

function hexOf(hashes: readonly Buffer[]): string[] {
  return hashes.map((each) => each.toString("hex"));
}

function flip(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes);
  const at = bit % (bytes.length * 8);
  flipped.writeUInt8(flipped.readUInt8(at >> 3) ^ (1 << (at & 7)), at >> 3);
  return flipped;
}
