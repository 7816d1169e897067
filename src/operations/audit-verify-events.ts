import type { Tx } from "../db/database.ts";
import { EventFindings } from "../domain/event-findings.ts";
import { hashEvent } from "../domain/event-leaf.ts";
import { type Finding, MOST_FINDINGS } from "../domain/log-findings.ts";
import { PrunedSeals } from "../domain/pruned-seals.ts";
import { TreeBuilder } from "../domain/tree-builder.ts";
import {
  type BatchEntry,
  countUnsealed,
  type Pruned,
  readBatches,
  readPruned,
  readSealed,
  readUnqueued,
  readUntold,
  type SealRow,
  seesEvents,
} from "../repository/seal.ts";

export interface VerifiedEvents {
  /** How many seals were read. */
  readonly sealed: number;
  /** How many of the events are gone with a workspace, as its entry in the log counts them. */
  readonly pruned: number;
  /** How many wait to be sealed: nothing can be said of those yet. */
  readonly unsealed: number;
}

export interface EventsToVerify {
  /** The batches of the entries from this one on. */
  readonly from: number;
  /** And before that one. */
  readonly until: number;
  /** Whether something was found of an entry, or of any, so that what its batch does not fit is no wonder. */
  isDoubted(index: number | null): boolean;
}

/** Entries and events at once: a host's events have no bounds of their own. */
const BATCHES = 500;
const EVENTS = 250;

/**
 * Reads the seals batch by batch and hashes each event anew: the events against their seals, the seals against the entries of
 * their batches. What is in no batch is looked for only where the log is read from its beginning. Memory does not grow with either.
 * Returns null for whoever does not see all events.
 */
export async function verifyEvents(
  db: Tx,
  { from, until, isDoubted }: EventsToVerify,
): Promise<{
  readonly events: VerifiedEvents;
  readonly findings: readonly Finding[];
  readonly found: number;
} | null> {
  if (!(await seesEvents(db))) return null;
  const findings = new EventFindings();
  const gone = new Gone(db, findings);
  let sealed = 0;
  for (let next = from; ; ) {
    const entries = await readBatches(db, next, until, BATCHES);
    const batches = entries.map((entry) => new Batch(entry));
    const byNumber = new Map(batches.map((batch) => [batch.entry.batch, batch]));
    for await (const row of readRows(db, batches)) {
      sealed++;
      byNumber.get(row.batch)?.add(row);
      if (row.event === null) await gone.note(row);
      else if (!isAsSealed(row)) findings.altered(row.id);
    }
    for (const batch of batches) if (!isDoubted(batch.entry.index)) batch.compare(findings);
    next = (entries.at(-1)?.index ?? until) + 1;
    if (entries.length < BATCHES) break;
  }
  gone.settle(from === 0);
  if (from === 0) {
    findings.unqueued(await readUnqueued(db, MOST_FINDINGS));
    if (!isDoubted(null)) findings.untold(await readUntold(db, MOST_FINDINGS));
  }
  const unsealed = await countUnsealed(db);
  return { events: { sealed, pruned: gone.pruned, unsealed }, ...findings.result() };
}

async function* readRows(db: Tx, batches: readonly Batch[]): AsyncGenerator<SealRow> {
  const numbers = batches.flatMap(({ entry }) => (entry.batch === null ? [] : [entry.batch]));
  if (numbers.length === 0) return;
  for (let after: SealRow | null = null; ; ) {
    const rows: SealRow[] = await readSealed(db, numbers, after, EVENTS);
    yield* rows;
    after = rows.at(-1) ?? null;
    if (rows.length < EVENTS) return;
  }
}

function isAsSealed({ event, leaf, id, token, identity, workspace }: SealRow): boolean {
  if (event === null) return false;
  const { own, ...said } = event;
  return own && hashEvent({ ...said, id, token, identity, workspace }).equals(leaf);
}

/** A batch as its entry tells of it and as its seals are. */
class Batch {
  readonly entry: BatchEntry;
  readonly #tree = new TreeBuilder();
  /** Whether the first seals, as many as the entry says, have its root. */
  #fits = false;
  #only: string | null = null;
  readonly #beyond: string[] = [];

  constructor(entry: BatchEntry) {
    this.entry = entry;
  }

  add({ id, leaf }: SealRow): void {
    this.#only = this.#tree.size === 0 ? id : null;
    if (this.#tree.size >= (this.entry.count ?? 0) && this.#beyond.length < MOST_FINDINGS)
      this.#beyond.push(id);
    this.#tree.add(leaf);
    if (this.#tree.size === this.entry.count) this.#fits = this.#hasRoot();
  }

  compare(findings: EventFindings): void {
    const { index, count } = this.entry;
    const more = this.#tree.size - (count ?? 0);
    if (more === 0 && !this.#fits) findings.resealed(index, this.#only);
    if (more < 0) findings.unsealed(index, -more);
    if (more > 0) findings.added(index, more, this.#fits ? this.#beyond : []);
  }

  #hasRoot(): boolean {
    return Buffer.from(this.#tree.root()).toString("base64") === this.entry.root;
  }
}

/** Events whose rows are gone: with their workspace as far as its entry counts them, or taken out. */
class Gone {
  pruned = 0;
  readonly #db: Tx;
  readonly #findings: EventFindings;
  /** By workspace: what went with it by the log, and what is gone. */
  readonly #workspaces = new Map<
    string,
    { readonly said: Pruned | null; gone: number; readonly seals: PrunedSeals }
  >();

  constructor(db: Tx, findings: EventFindings) {
    this.#db = db;
    this.#findings = findings;
  }

  async note(row: SealRow): Promise<void> {
    if (row.workspace === null) return this.#findings.removed(row.id);
    let left = this.#workspaces.get(row.workspace);
    if (left === undefined) {
      left = { said: await readPruned(this.#db, row.workspace), gone: 0, seals: new PrunedSeals() };
      this.#workspaces.set(row.workspace, left);
    }
    left.gone++;
    left.seals.add(row);
    if (left.said === null) this.#findings.removed(row.id);
  }

  /** @param isWhole whether every batch was read */
  settle(isWhole: boolean): void {
    for (const [workspace, { said, gone, seals }] of this.#workspaces) {
      if (said === null) continue;
      this.pruned += Math.min(said.count, gone);
      if (gone > said.count) this.#findings.removedBefore(workspace, gone - said.count);
      else if (isWhole && said.seals !== null && seals.digest() !== said.seals) {
        // Where fewer are left, whatever was found already may tell why.
        if (gone === said.count || this.#findings.result().found === 0)
          this.#findings.otherThanPruned(workspace, said.count);
      }
    }
  }
}
