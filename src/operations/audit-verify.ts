import type { Tx } from "../db/database.ts";
import { type Checkpoint, originOf } from "../domain/checkpoint.ts";
import type { ExportedLeaves } from "../domain/log-export.ts";
import { type Finding, Findings, MOST_FINDINGS } from "../domain/log-findings.ts";
import { frameFaults } from "../domain/log-frame.ts";
import { peaksOf, type ReadNodes } from "../domain/merkle.ts";
import { isEdgeOf, readNodesOf } from "../domain/tile.ts";
import { TreeBuilder } from "../domain/tree-builder.ts";
import { readFrame } from "../repository/log-frame.ts";
import { readBeyond, readOutside, readStoredEnd, readTree } from "../repository/tree.ts";
import { type VerifiedEvents, verifyEvents } from "./audit-verify-events.ts";
import { LogReader, PAGE, pageAt } from "./log-reader.ts";

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

/** An export: the root before it, a hash for each entry in it, and the head that they come to. */
export interface ExportedLog {
  /** Of the tree of all entries before its own. */
  readonly begun: Buffer;
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
  /** The root of the largest of them that does not, which vouches for all that smaller ones saw; null where all do. */
  readonly disputed: Buffer | null;
  /** The roots of those that do. */
  readonly agreed: readonly Buffer[];
  readonly findings: readonly Finding[];
  /** With those that are too many to be told. */
  readonly found: number;
  /** What agents did, as it is sealed; null for whoever does not see all of it. */
  readonly events: VerifiedEvents | null;
}

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
  for (const fault of frameFaults(await readFrame(db))) findings.around("altered", fault);
  if (!isEdgeOf(tree.size, tree.edge))
    findings.around(
      "tree",
      "the head has other hashes than a log so long has: what is written next is lost in the tree",
    );
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
  // A head may say any number: what lies pages behind all that is stored is not looked for one by one.
  const end = Math.min(tree.size, (await readStoredEnd(db)) + PAGE);
  for (let page = pageAt(from, end); page !== null; ) {
    const next = pageAt(page[1], end);
    await reader.page(page, next, heads);
    options.onProgress(page[1] - from, end - from);
    page = next;
  }
  if (end < tree.size) {
    findings.missing(end, tree.size - 1);
    heads.miss();
  }
  const beyond = await readBeyond(db);
  if (beyond.entries > 0) await reader.placeOutside(await readOutside(db, MOST_OUTSIDE));
  findings.end({ beyond, seen: checkpoints.at(-1)?.size ?? 0 });
  const { findings: told, found } = findings.result();
  const events = await verifyEvents(db, {
    from,
    until: end,
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
    disputed: checkpoints.length > within.length ? (checkpoints.at(-1)?.root ?? null) : heads.disputed,
    agreed: heads.agreed,
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
  disputed: Buffer | null = null;
  readonly agreed: Buffer[] = [];
  readonly #reader: LogReader;
  readonly #findings: Findings;
  readonly #left: Checkpoint[];

  constructor(reader: LogReader, findings: Findings, checkpoints: readonly Checkpoint[]) {
    this.#reader = reader;
    this.#findings = findings;
    this.#left = [...checkpoints];
  }

  /** Those that saw more than is left. */
  miss(): void {
    this.compared += this.#left.length;
    this.disputed = this.#left.at(-1)?.root ?? this.disputed;
    this.#left.length = 0;
  }

  get next(): number {
    return this.#left[0]?.size ?? Number.POSITIVE_INFINITY;
  }

  compare(size: number): void {
    while (this.#left[0]?.size === size) {
      const { root } = this.#left.shift() as Checkpoint;
      this.compared++;
      const stored = root.equals(this.#reader.stored.root());
      const lying = this.#reader.lying === null ? stored : root.equals(this.#reader.lying.root());
      this.#findings.head({ size, stored, lying, anchored: this.anchored ?? 0 });
      if (stored && lying) {
        this.anchored = size;
        this.agreed.push(root);
      } else this.disputed = root;
    }
  }
}
