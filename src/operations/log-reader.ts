import { setImmediate as breath } from "node:timers/promises";
import type { Tx } from "../db/database.ts";
import type { ExportedLeaves } from "../domain/log-export.ts";
import type { Findings } from "../domain/log-findings.ts";
import { HASH_SIZE, hashLeaf, hashLeaves, type ReadNodes, type TreeNode } from "../domain/merkle.ts";
import { rootOver, tilesOver } from "../domain/tile.ts";
import type { TreeBuilder } from "../domain/tree-builder.ts";
import { readFit } from "../repository/log-size.ts";
import { type LeafRow, readLeaves, readLightLeaves, readRuns } from "../repository/tree.ts";

/** Entries at once: a complete subtree, whose height is a multiple of that of a tile. */
const PAGE_HEIGHT = 12;
export const PAGE = 2 ** PAGE_HEIGHT;

/** In bytes, of the entries that are read at once: those that midctl makes are some hundred each. */
const MOST_BYTES = 32 * 1024 * 1024;
/** So many are hashed before what has arrived is taken in: the server would wait. */
const BREATH = 512;

/** The first entry of a page, and that after its last. */
export type Page = readonly [from: number, until: number];

/** Those from an entry on that are read together; null behind the last. */
export function pageAt(from: number, size: number): Page | null {
  return from < size ? [from, Math.min(size, (Math.floor(from / PAGE) + 1) * PAGE)] : null;
}

interface Leaf {
  /** As the tree has it; empty where it has none. */
  readonly stored: Uint8Array;
  /** What the entry is held against: as it was exported, or else as it is stored. */
  readonly known: Uint8Array;
}

/** Heads that the tree is compared with as it comes to their size. */
interface HeadsToCompare {
  /** The size of the next one; infinite after the last. */
  readonly next: number;
  compare(size: number): void;
}

/** Reads entries and stored tree side by side. */
export class LogReader {
  /** The tree by the hashes that are stored, or were exported. */
  readonly stored: TreeBuilder;
  /** The tree by the entries as they lie there; null as long as both are the same. */
  lying: TreeBuilder | null = null;
  readonly #db: Tx;
  readonly #read: ReadNodes;
  readonly #findings: Findings;
  readonly #exported: ExportedLeaves | null;
  /** The first entry that is read. */
  readonly #begin: number;
  #ahead: Promise<ReadPage> | null = null;

  constructor(
    db: Tx,
    read: ReadNodes,
    findings: Findings,
    stored: TreeBuilder,
    exported: ExportedLeaves | null,
  ) {
    this.#db = db;
    this.#read = read;
    this.#findings = findings;
    this.stored = stored;
    this.#begin = stored.size;
    this.#exported = exported;
  }

  /** @param next what is read while this page is hashed, and is asked for next; null after the last */
  async page(page: Page, next: Page | null, heads: HeadsToCompare): Promise<void> {
    const read = await (this.#ahead ?? this.#readPage(page));
    this.#ahead = next === null ? null : this.#readPage(next);
    // Whoever waits for it hears of it.
    this.#ahead?.catch(() => {});
    const leaves = await soundLeaves(page, read.rows);
    const root = leaves === null ? null : rootOver(leaves, read.tiles);
    if (leaves !== null && root !== null && this.#isExported(page[0], leaves))
      this.#takeSound(page, { leaves, root, above: read.above }, heads);
    else if (read.rows.length > 0) await this.#takeEach(page, read.rows, heads);
    else await this.#takeParts(page, heads);
  }

  /** A page of which nothing was read: too much at once, or nothing is there. */
  async #takeParts([from, until]: Page, heads: HeadsToCompare): Promise<void> {
    for (let at = from; at < until; ) {
      const fit = await readFit(this.#db, at, until, MOST_BYTES);
      await this.#takeEach([at, fit.until], await readLeaves(this.#db, at, fit.until), heads);
      at = fit.until;
    }
  }

  /** A whole page in which nothing is wrong. */
  #takeSound([from, until]: Page, { leaves, root, above }: SoundPage, heads: HeadsToCompare): void {
    let compared = 0;
    const onNode = (node: TreeNode, hash: Uint8Array): void => {
      if (node.level < PAGE_HEIGHT || !isStoredOn(node.level)) return;
      if (!isHash(above[compared++], hash)) this.#unfit(node);
    };
    if (heads.next >= until) {
      onNode({ level: PAGE_HEIGHT, index: from / PAGE }, root);
      this.lying?.add(root, undefined, PAGE_HEIGHT);
      this.stored.add(root, onNode, PAGE_HEIGHT);
      heads.compare(until);
      return;
    }
    for (let at = 0; at < leaves.length; at += HASH_SIZE) {
      const leaf = leaves.subarray(at, at + HASH_SIZE);
      this.lying?.add(leaf);
      this.stored.add(leaf, onNode);
      heads.compare(this.stored.size);
    }
  }

  /** Any page, entry by entry. */
  async #takeEach([from, until]: Page, rows: readonly LeafRow[], heads: HeadsToCompare): Promise<void> {
    const indexes = indexesOf(from, until);
    const above = completedBy(from, until, 2);
    const stored = await this.#read([...indexes.map(leafAt), ...above]);
    const leaves = this.#known(indexes, stored);
    const nodes = stored.slice(indexes.length);
    const wrong: Wrong[] = [];
    const unfit: TreeNode[] = [];
    let [read, compared] = [0, 0];
    for (const [at, index] of indexes.entries()) {
      const row = rows[read]?.index === index ? rows[read++] : undefined;
      // Where the key of the table is gone, one index may stand there twice.
      while (rows[read]?.index === index) wrong.push(judged(rows[read++] as LeafRow));
      const { known, stored } = leaves[at] as Leaf;
      const leaf = row === undefined ? null : hashLeaf(row.entry);
      const isStored = known.length === HASH_SIZE;
      if (!isStored || (known !== stored && Buffer.compare(known, stored) !== 0))
        this.#findings.tree(index, index);
      const isSame = leaf !== null && isStored && leaf.equals(known);
      if (row === undefined) this.#findings.missing(index);
      else if (leaf !== null && isStored && !isSame) wrong.push({ row, leaf });
      else if (leaf !== null && leaf.toString("hex") !== row.leafHash) this.#findings.altered(index);
      if (!isSame) this.lying ??= this.stored.branch();
      if (leaf !== null) this.lying?.add(leaf);
      this.stored.add(isStored ? known : (leaf ?? Buffer.alloc(HASH_SIZE)), (node, hash) => {
        // The others are not stored, but hashed from these.
        if (isStoredOn(node.level) && !isHash(nodes[compared++], hash)) unfit.push(node);
      });
      heads.compare(this.stored.size);
    }
    await this.#place(wrong);
    for (const node of unfit) this.#unfit(node);
  }

  #unfit({ level, index }: TreeNode): void {
    const width = 2 ** level;
    this.#findings.tree(index * width, (index + 1) * width - 1);
  }

  /** Entries outside of what the head says, in their order: where others were put in, the last ones lie there. */
  async placeOutside(rows: readonly LeafRow[]): Promise<void> {
    for (const [{ row }, place] of await this.#placesOf(rows.map(judged))) {
      if (place !== null) this.#findings.movedOut(row.index, place);
    }
  }

  /** Entries that are not those that the tree has there: whether each is that of another place. */
  async #place(wrong: readonly Wrong[]): Promise<void> {
    for (const [{ row }, place] of await this.#placesOf(wrong)) {
      // Of a place that is not read nobody can say what lies there now.
      const isMoved = place !== null && place !== row.index && place >= this.#begin;
      if (isMoved) this.#findings.moved(row.index, place);
      else this.#findings.altered(row.index);
    }
  }

  /** The places that these entries say they have, where the tree has them there; else null. */
  async #placesOf(wrong: readonly Wrong[]): Promise<(readonly [Wrong, number | null])[]> {
    const own = wrong.map(({ row }) => ownIndex(row.entry));
    const places = own.filter((index) => index !== null && index < this.#findings.size) as number[];
    const leaves = await this.#readLeaves(places);
    const leafAt = new Map(places.map((index, at) => [index, leaves[at]?.known]));
    return wrong.map((each, at) => {
      const place = own[at] ?? null;
      const known = place === null ? undefined : leafAt.get(place);
      return [each, known !== undefined && each.leaf.equals(known) ? place : null] as const;
    });
  }

  async #readPage([from, until]: Page): Promise<ReadPage> {
    const isWhole = until - from === PAGE;
    const above = isWhole ? completedBy(from, until, PAGE_HEIGHT) : [];
    const [rows, tiles, nodes] = await Promise.all([
      readLightLeaves(this.#db, [from, until], MOST_BYTES),
      isWhole ? readRuns(this.#db, tilesOver(from, until)) : [],
      above.length === 0 ? [] : this.#read(above),
    ]);
    return { rows, tiles, above: nodes };
  }

  #isExported(from: number, leaves: Buffer): boolean {
    for (let at = 0; at < leaves.length; at += HASH_SIZE) {
      const hash = this.#exported?.at(from + at / HASH_SIZE) ?? null;
      if (hash !== null && hash.compare(leaves, at, at + HASH_SIZE) !== 0) return false;
    }
    return true;
  }

  async #readLeaves(indexes: readonly number[]): Promise<readonly Leaf[]> {
    return this.#known(indexes, indexes.length === 0 ? [] : await this.#read(indexes.map(leafAt)));
  }

  #known(indexes: readonly number[], stored: readonly Uint8Array[]): Leaf[] {
    return indexes.map((index, at) => {
      const hash = stored[at] ?? Buffer.alloc(0);
      return { stored: hash, known: this.#exported?.at(index) ?? hash };
    });
  }
}

interface ReadPage {
  readonly rows: readonly LeafRow[];
  /** As `tilesOver` has them, where the page is whole. */
  readonly tiles: readonly (Buffer | null)[];
  /** As `completedBy` has them, of the height of a page or more, where it is whole. */
  readonly above: readonly Uint8Array[];
}

interface SoundPage {
  /** Hashes, side by side. */
  readonly leaves: Buffer;
  readonly root: Buffer;
  readonly above: readonly Uint8Array[];
}

/** The hashes of entries that make a whole page and have their own hashes beside them; null otherwise. */
async function soundLeaves([from, until]: Page, rows: readonly LeafRow[]): Promise<Buffer | null> {
  if (until - from !== PAGE || rows.length !== PAGE) return null;
  if (!rows.every(({ index }, at) => index === from + at)) return null;
  const parts: Buffer[] = [];
  for (let at = 0; at < PAGE; at += BREATH) {
    parts.push(hashLeaves(rows.slice(at, at + BREATH).map(({ entry }) => entry)));
    await breath();
  }
  const leaves = Buffer.concat(parts);
  const beside = Buffer.from(rows.map(({ leafHash }) => leafHash ?? "").join(""), "hex");
  return leaves.equals(beside) ? leaves : null;
}

/** The stored subtrees of this height or more that these entries complete, in the order in which they do. */
function completedBy(from: number, until: number, height: number): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let level = height; 2 ** level <= until; level += 2) {
    const width = 2 ** level;
    for (let index = Math.floor(from / width); (index + 1) * width <= until; index++)
      nodes.push({ level, index });
  }
  const end = ({ level, index }: TreeNode): number => (index + 1) * 2 ** level;
  return nodes.sort((a, b) => end(a) - end(b) || a.level - b.level);
}

/** Of the levels above it every second one is stored: a tile holds the children of a subtree of height two. */
const isStoredOn = (level: number): boolean => level % 2 === 0;
const leafAt = (index: number): TreeNode => ({ level: 0, index });
const indexesOf = (from: number, until: number): number[] =>
  Array.from({ length: until - from }, (_, n) => from + n);

function isHash(stored: Uint8Array | undefined, hash: Uint8Array): boolean {
  return stored !== undefined && Buffer.compare(stored, hash) === 0;
}

interface Wrong {
  readonly row: LeafRow;
  readonly leaf: Buffer;
}

function judged(row: LeafRow): Wrong {
  return { row, leaf: hashLeaf(row.entry) };
}

/** The index that an entry says it has; null for what is no entry. */
function ownIndex(entry: string): number | null {
  try {
    const { index } = JSON.parse(entry) as { readonly index?: unknown };
    return Number.isSafeInteger(index) && (index as number) >= 0 ? (index as number) : null;
  } catch {
    return null;
  }
}
