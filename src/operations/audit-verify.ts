import type { Tx } from "../db/database.ts";
import { type Checkpoint, originOf } from "../domain/checkpoint.ts";
import type { ExportedLeaves } from "../domain/log-export.ts";
import { type Finding, Findings, MOST_FINDINGS } from "../domain/log-findings.ts";
import { HASH_SIZE, hashLeaf, peaksOf, type ReadNodes, type TreeNode } from "../domain/merkle.ts";
import { readNodesOf } from "../domain/tile.ts";
import { TreeBuilder } from "../domain/tree-builder.ts";
import { type LeafRow, readBeyond, readLeaves, readOutside, readTree } from "../repository/tree.ts";
import { type VerifiedEvents, verifyEvents } from "./audit-verify-events.ts";

export interface VerifyOptions {
  /** Heads that were seen before, of any log, in any order. */
  readonly checkpoints: readonly Checkpoint[];
  /** What was exported before: where there is a hash of an entry, it is right and what is stored is not. */
  readonly exported?: ExportedLog | null;
  /**
   * So many entries were verified before: reads on from the last checkpoint that saw no more of them, and judges all before it by the
   * tree alone. 0 reads everything.
   */
  readonly verified: number;
  /** After each page: how many entries were read, of how many. */
  onProgress(done: number, of: number): void;
}

/** An export: a hash for each entry in it, and the head that they come to. */
export interface ExportedLog {
  readonly leaves: ExportedLeaves;
  readonly head: Checkpoint;
}

export interface Verified {
  readonly origin: string;
  readonly size: number;
  /** Over the entries as the tree has them. */
  readonly root: Buffer;
  /** The first entry that was read. */
  readonly from: number;
  /** So many checkpoints of this log were compared, with all that lies before them. */
  readonly checkpoints: number;
  /** The largest of them that agrees; null where none does. */
  readonly anchored: number | null;
  readonly findings: readonly Finding[];
  /** With those that are too many to be told. */
  readonly found: number;
  /** What agents did, as it is sealed; null for whoever does not see all of it. */
  readonly events: VerifiedEvents | null;
}

/** Entries at once: all subtrees up to height twelve are complete by a page. */
const PAGE = 4096;
/** So many entries outside of what the head says are looked at one by one. */
const MOST_OUTSIDE = 1_000;

/**
 * Reads the whole log and hashes it anew: entries against the tree that grew with them, the tree against itself, and both against
 * heads that were kept elsewhere. What is wrong is found, not thrown. While it runs the log may grow: what is judged is the log as
 * long as it was at the beginning. Memory does not grow with the log.
 */
export async function verifyLog(db: Tx, options: VerifyOptions): Promise<Verified> {
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  const exported = options.exported?.head.origin === origin ? options.exported : null;
  const given = [...options.checkpoints, ...(options.exported ? [options.exported.head] : [])];
  const checkpoints = given.filter((each) => each.origin === origin).sort(bySize);
  const within = checkpoints.filter(({ size }) => size <= tree.size);
  const findings = new Findings(tree.size, exported?.leaves.end ?? 0);
  for (const { origin: other } of given) if (other !== origin) findings.foreign(other);
  const read = readNodesOf(tree);
  const from = within.findLast(({ size }) => size <= options.verified)?.size ?? 0;
  const reader = new LogReader(db, read, findings, await begin(from, read), exported?.leaves ?? null);
  const heads = new Heads(
    reader,
    findings,
    within.filter(({ size }) => size >= from),
  );
  heads.compare(from);
  for (let page = pageAt(from, tree.size); page !== null; ) {
    const next = pageAt(page[1], tree.size);
    await reader.page(page, next, (size) => heads.compare(size));
    options.onProgress(page[1] - from, tree.size - from);
    page = next;
  }
  const beyond = await readBeyond(db);
  if (beyond.entries > 0) await reader.placeOutside(await readOutside(db, MOST_OUTSIDE));
  findings.end({ beyond, seen: checkpoints.at(-1)?.size ?? 0 });
  const { findings: told, found } = findings.result();
  const events = await verifyEvents(db, {
    from,
    until: tree.size,
    isDoubted: (index) =>
      found > told.length || told.some(index === null ? ({ kind }) => kind !== "foreign" : isAbout(index)),
  });
  return {
    origin,
    size: tree.size,
    root: Buffer.from(reader.stored.root()),
    from,
    // Those that saw more than there is are found not to agree.
    checkpoints: heads.compared + checkpoints.length - within.length - (exported === null ? 0 : 1),
    anchored: heads.anchored,
    findings: [...told, ...(events?.findings ?? [])].slice(0, MOST_FINDINGS),
    found: found + (events?.found ?? 0),
    events: events?.events ?? null,
  };
}

function isAbout(index: number): (finding: Finding) => boolean {
  return ({ from, to }) => from !== null && to !== null && from <= index && index <= to;
}

function bySize(a: Checkpoint, b: Checkpoint): number {
  return a.size - b.size;
}

/** The first entry of a page, and that after its last. */
type Page = readonly [from: number, until: number];

function pageAt(from: number, size: number): Page | null {
  return from < size ? [from, Math.min(size, (Math.floor(from / PAGE) + 1) * PAGE)] : null;
}

/** The tree as it is stored, up to where reading begins. */
async function begin(size: number, read: ReadNodes): Promise<TreeBuilder> {
  const nodes = peaksOf(size);
  const hashes = nodes.length === 0 ? [] : await read(nodes);
  return new TreeBuilder(nodes.map((node, at) => ({ node, hash: hashes[at] ?? Buffer.alloc(0) })));
}

/** Compares heads as the trees come to their size. */
class Heads {
  compared = 0;
  anchored: number | null = null;
  readonly #reader: LogReader;
  readonly #findings: Findings;
  readonly #left: Checkpoint[];

  constructor(reader: LogReader, findings: Findings, checkpoints: readonly Checkpoint[]) {
    this.#reader = reader;
    this.#findings = findings;
    this.#left = [...checkpoints];
  }

  compare(size: number): void {
    while (this.#left[0]?.size === size) {
      const { root } = this.#left.shift() as Checkpoint;
      this.compared++;
      const stored = root.equals(this.#reader.stored.root());
      const lying = this.#reader.lying === null ? stored : root.equals(this.#reader.lying.root());
      this.#findings.head({ size, stored, lying, anchored: this.anchored ?? 0 });
      if (stored && lying) this.anchored = size;
    }
  }
}

interface Leaf {
  /** As the tree has it; empty where it has none. */
  readonly stored: Uint8Array;
  /** What the entry is held against: as it was exported, or else as it is stored. */
  readonly known: Uint8Array;
}

/** Reads entries and stored tree side by side. */
class LogReader {
  /** The tree by the hashes that are stored, or were exported. */
  readonly stored: TreeBuilder;
  /** The tree by the entries as they lie there; null as long as both are the same. */
  lying: TreeBuilder | null = null;
  readonly #db: Tx;
  readonly #read: ReadNodes;
  readonly #findings: Findings;
  readonly #exported: ExportedLeaves | null;
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
    this.#exported = exported;
  }

  /** @param next what is read while this page is hashed, and is asked for next; null after the last */
  async page([from, until]: Page, next: Page | null, onLeaf: (size: number) => void): Promise<void> {
    const indexes = Array.from({ length: until - from }, (_, n) => from + n);
    const { rows, leaves, nodes } = await (this.#ahead ?? this.#readPage(from, until));
    this.#ahead = next === null ? null : this.#readPage(...next);
    // Whoever waits for it hears of it.
    this.#ahead?.catch(() => {});
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
        if (node.level % 2 === 0 && !isHash(nodes[compared++], hash)) unfit.push(node);
      });
      onLeaf(this.stored.size);
    }
    await this.#place(wrong);
    for (const { level, index } of unfit) {
      const width = 2 ** level;
      this.#findings.tree(index * width, (index + 1) * width - 1);
    }
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
      if (place !== null && place !== row.index) this.#findings.moved(row.index, place);
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

  async #readPage(from: number, until: number): Promise<ReadPage> {
    const indexes = Array.from({ length: until - from }, (_, n) => from + n);
    const wanted = [...indexes.map((index) => ({ level: 0, index })), ...completedBy(from, until)];
    const [rows, stored] = await Promise.all([readLeaves(this.#db, from, until), this.#read(wanted)]);
    return { rows, leaves: this.#known(indexes, stored), nodes: stored.slice(indexes.length) };
  }

  async #readLeaves(indexes: readonly number[]): Promise<readonly Leaf[]> {
    const nodes = indexes.map((index) => ({ level: 0, index }));
    return this.#known(indexes, nodes.length === 0 ? [] : await this.#read(nodes));
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
  readonly leaves: readonly Leaf[];
  /** As `completedBy` has them. */
  readonly nodes: readonly Uint8Array[];
}

/** The stored subtrees above the leaves that these entries complete, in the order in which they do. */
function completedBy(from: number, until: number): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let level = 2; 2 ** level <= until; level += 2) {
    const width = 2 ** level;
    for (let index = Math.floor(from / width); (index + 1) * width <= until; index++)
      nodes.push({ level, index });
  }
  const end = ({ level, index }: TreeNode): number => (index + 1) * 2 ** level;
  return nodes.sort((a, b) => end(a) - end(b) || a.level - b.level);
}

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
