/** The tree over the log, by RFC 9162 §2.1. Sizes and indexes are whole numbers up to 2^53, so no 32-bit shifts here. */
import { hash } from "node:crypto";
import { MidctlError } from "./errors.ts";

/** Bytes of a SHA-256. */
export const HASH_SIZE = 32;
/** MTH({}): the root of a tree without leaves. */
export const EMPTY_ROOT: Buffer = digest("");

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** A complete subtree: the 2^level leaves from index · 2^level on. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** The leaves from `begin` up to, not including, `end`. */
export interface LeafRange {
  readonly begin: number;
  readonly end: number;
}

/** Gives the hashes of complete subtrees, in the order asked for. */
export type ReadNodes = (nodes: readonly TreeNode[]) => Promise<readonly Uint8Array[]>;

/** The hash of one entry. */
export function hashLeaf(entry: Uint8Array | string): Buffer {
  return digest(typeof entry === "string" ? `\0${entry}` : Buffer.concat([LEAF, entry]));
}

/** Of every node in its turn: a tree is as many of them as it has leaves. */
const PAIR = Buffer.concat([NODE, Buffer.alloc(2 * HASH_SIZE)]);

/** The hash of a node by those of its two children. */
export function hashChildren(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_SIZE || right.length !== HASH_SIZE) {
    return digest(Buffer.concat([NODE, left, right]));
  }
  PAIR.set(left, 1);
  PAIR.set(right, 1 + HASH_SIZE);
  return digest(PAIR);
}

/** The hashes of entries, side by side. */
export function hashLeaves(entries: readonly string[]): Buffer {
  const hashes = Buffer.allocUnsafe(entries.length * HASH_SIZE);
  for (const [at, entry] of entries.entries()) write(hashes, at, hash("sha256", `\0${entry}`, "binary"));
  return hashes;
}

/** The level above one of a tree, whose hashes lie side by side: that of each two. */
export function hashPairs(hashes: Buffer): Buffer {
  const pairs = hashes.length / (2 * HASH_SIZE);
  const above = Buffer.allocUnsafe(pairs * HASH_SIZE);
  for (let at = 0; at < pairs; at++) {
    hashes.copy(PAIR, 1, at * 2 * HASH_SIZE, (at + 1) * 2 * HASH_SIZE);
    write(above, at, hash("sha256", PAIR, "binary"));
  }
  return above;
}

function write(hashes: Buffer, at: number, bytes: string): void {
  hashes.write(bytes, at * HASH_SIZE, "latin1");
}

/** By way of a string, whose bytes come out of a pool: a buffer that `hash` itself makes takes longer than the hashing. */
function digest(data: Uint8Array | string): Buffer {
  return Buffer.from(hash("sha256", data, "binary"), "binary");
}

/** What proves that the leaf at `index` is in a tree of `size` leaves: the ranges whose roots are PATH(m, D_n), in its order. */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  const ranges: LeafRange[] = [];
  let [begin, end] = [0, size];
  while (end - begin > 1) {
    const middle = begin + splitOf(end - begin);
    if (index < middle) {
      ranges.push({ begin: middle, end });
      end = middle;
    } else {
      ranges.push({ begin, end: middle });
      begin = middle;
    }
  }
  return ranges.reverse();
}

/**
 * What proves that a tree of `second` leaves begins with the tree of its first `first` leaves: the ranges whose roots are
 * PROOF(m, D_n), in its order. None from the empty tree, which begins every tree.
 */
export function consistencyRanges(first: number, second: number): LeafRange[] {
  const ranges: LeafRange[] = [];
  if (first === 0) return ranges;
  let [begin, end] = [0, second];
  while (first < end) {
    const middle = begin + splitOf(end - begin);
    if (first <= middle) {
      ranges.push({ begin: middle, end });
      end = middle;
    } else {
      ranges.push({ begin, end: middle });
      begin = middle;
    }
  }
  // Whoever verifies has the root of the whole first tree already.
  if (begin > 0) ranges.push({ begin, end });
  return ranges.reverse();
}

/**
 * The roots of ranges such as the above, or of whole trees (`begin` 0), read at once.
 * @throws what `read` throws, and MidctlError `conflict` for a node that it does not give
 */
export async function readRoots(ranges: readonly LeafRange[], read: ReadNodes): Promise<Buffer[]> {
  const parts = ranges.map(nodesOf);
  const wanted = new Map(parts.flat().map((node) => [nameOf(node), node]));
  const hashes = wanted.size === 0 ? [] : await read([...wanted.values()]);
  const known = new Map([...wanted.keys()].map((name, at) => [name, hashes[at]]));
  return parts.map((nodes) =>
    foldRight(
      nodes.map((node) => {
        const found = known.get(nameOf(node));
        if (found?.length !== HASH_SIZE) {
          throw new MidctlError(
            "conflict",
            `The tree over the log has no node ${nameOf(node)}; nothing was read from it.`,
            {
              hint: "Find out who wrote to the database: its owner, or whoever restored it.",
            },
          );
        }
        return Buffer.from(found);
      }),
    ),
  );
}

export interface Inclusion {
  readonly index: number;
  readonly size: number;
  readonly leaf: Uint8Array;
  readonly root: Uint8Array;
  readonly path: readonly Uint8Array[];
}

/** Whether the path shows that the tree of this size and root has this leaf at this index (RFC 9162 §2.1.3.2). */
export function isIncluded({ index, size, leaf, root, path }: Inclusion): boolean {
  if (!isCount(index) || !isCount(size) || index >= size) return false;
  if (!path.every(isHash) || !isHash(leaf)) return false;
  let [fn, sn] = [index, size - 1];
  let found: Buffer = Buffer.from(leaf);
  for (const sibling of path) {
    if (sn === 0) return false;
    if (isOdd(fn) || fn === sn) {
      found = hashChildren(sibling, found);
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else found = hashChildren(found, sibling);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && found.equals(root);
}

export interface Consistency {
  readonly first: number;
  readonly firstRoot: Uint8Array;
  readonly second: number;
  readonly secondRoot: Uint8Array;
  readonly path: readonly Uint8Array[];
}

/** Whether the path shows that the second tree begins with all of the first (RFC 9162 §2.1.4.2). */
export function isConsistent({ first, firstRoot, second, secondRoot, path }: Consistency): boolean {
  if (!isCount(first) || !isCount(second) || first > second) return false;
  if (!path.every(isHash) || !isHash(firstRoot) || !isHash(secondRoot)) return false;
  if (first === second) return path.length === 0 && isEqual(firstRoot, secondRoot);
  if (first === 0) return path.length === 0 && isEqual(firstRoot, EMPTY_ROOT);
  const [start, ...rest] = isPowerOfTwo(first) ? [firstRoot, ...path] : path;
  if (start === undefined || path.length === 0) return false;
  let [fn, sn] = [first - 1, second - 1];
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)];
  let older: Buffer = Buffer.from(start);
  let newer = older;
  for (const sibling of rest) {
    if (sn === 0) return false;
    if (isOdd(fn) || fn === sn) {
      older = hashChildren(sibling, older);
      newer = hashChildren(sibling, newer);
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else newer = hashChildren(newer, sibling);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && older.equals(firstRoot) && newer.equals(secondRoot);
}

/** The complete subtrees that the tree of so many leaves is made of, from the left. */
export function peaksOf(size: number): TreeNode[] {
  return nodesOf({ begin: 0, end: size });
}

/** The complete subtrees that a range is made of, from the left: each half as large as the one before, or less. */
function nodesOf({ begin, end }: LeafRange): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let at = begin; at < end; ) {
    const level = Math.floor(Math.log2(end - at));
    // Beyond 2^48 the logarithm may round up.
    const fitting = 2 ** level > end - at ? level - 1 : level;
    nodes.push({ level: fitting, index: at / 2 ** fitting });
    at += 2 ** fitting;
  }
  return nodes;
}

function foldRight(hashes: readonly Buffer[]): Buffer {
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => hashChildren(left, right));
}

/** The largest power of two below this number. */
function splitOf(leaves: number): number {
  let split = 1;
  while (split * 2 < leaves) split *= 2;
  return split;
}

function isPowerOfTwo(number: number): boolean {
  return splitOf(number) * 2 === number || number === 1;
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_SIZE;
}

const isEqual = (one: Uint8Array, other: Uint8Array): boolean => Buffer.from(one).equals(other);
const isOdd = (number: number): boolean => number % 2 === 1;
const half = (number: number): number => Math.floor(number / 2);
const nameOf = ({ level, index }: TreeNode): string => `${level}/${index}`;
