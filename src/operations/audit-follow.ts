import { setTimeout as wait } from "node:timers/promises";
import type { Tx } from "../db/database.ts";
import { WAIT_OR_MIGRATE } from "../db/sql-states.ts";
import { type ErrorCode, MidctlError } from "../domain/errors.ts";
import type { EventFilter } from "../repository/event-filter.ts";
import {
  findBeginning,
  type Heads,
  type NumberedEvent,
  readEntries,
  readEntryTime,
  readHeads,
  readIsRestored,
  readNumbered,
  readNumbers,
  readWriters,
} from "../repository/follow.ts";
import { findIdentity } from "../repository/identity.ts";
import type { AuditEvent } from "../repository/log.ts";
import { readFit, SHOWN_AT_ONCE } from "../repository/log-size.ts";
import { EventNumbers } from "./event-numbers.ts";
import { notFound } from "./lookup.ts";

export interface FollowQuery extends Omit<EventFilter, "until"> {
  /** Index of the first entry; agents' events from its time on. In place of `since`. */
  readonly from?: number;
}

export interface FollowOptions {
  /** Told once each when the database cannot be reached and when it is being restored, and again when it can be read. */
  readonly onLost?: (error: MidctlError) => void;
  readonly onBack?: () => void;
  /** Told when it is known where to begin: whatever is committed from here on is given. */
  readonly onBegun?: () => void;
}

/** How often it is looked for something new, ms: what is said at a commit reaches nobody behind a pooler, and agents say nothing. */
const LOOK = 25;
/** How often it is looked whether those who wrote have ended, ms. */
const SETTLE = 500;
/** Between attempts at a database that cannot be reached, ms: doubled from the first to the last. */
const FIRST_RETRY = 100;
const LAST_RETRY = 2_000;
/** Read at once. */
const BATCH = 500;
/** So far below the highest number events are looked for that were being written when it began. */
const UNFINISHED = 10_000n;

/**
 * What was and is done, oldest first and without end: batches of events as they are committed, from now on, from a moment or from
 * an entry on. Of the log each entry once, in its order. Of the agents each event once, in the order in which they come to be seen.
 * Between the two by time, as far as both have been read. A database that cannot be reached, or is being restored, is waited for, once it
 * was read.
 * @throws MidctlError `not_found` for the identity, `usage` for an index beyond the log's end, `schema_version` for a database that is not
 *   whole when it begins, `conflict` where the log is not the
 *   one any more that was followed
 */
export async function* followAudit(
  db: Tx,
  query: FollowQuery,
  options: FollowOptions = {},
): AsyncGenerator<readonly AuditEvent[]> {
  const follower = await Follower.begin(db, query);
  options.onBegun?.();
  /** For what it cannot be read, since it was last. */
  let lost: ErrorCode | null = null;
  let pause = FIRST_RETRY;
  for (;;) {
    try {
      // What is half restored looks like another log, and is judged when it is whole.
      if (lost !== null && !(await readIsRestored(db))) throw notWhole();
      const { events, more } = await follower.read();
      if (lost !== null) options.onBack?.();
      lost = null;
      pause = FIRST_RETRY;
      if (events.length > 0) yield events;
      if (!more) await wait(LOOK);
    } catch (error) {
      if (!(error instanceof MidctlError) || !(await mayPass(db, error, lost !== null))) throw error;
      if (error.code !== lost) options.onLost?.(error);
      lost = error.code;
      await wait(pause);
      pause = Math.min(pause * 2, LAST_RETRY);
    }
  }
}

/** Whether what was read before can be read again by itself: rights come back last where a database is restored. */
async function mayPass(db: Tx, { code }: MidctlError, lost: boolean): Promise<boolean> {
  if (code === "unavailable" || code === "schema_version") return true;
  return code === "denied" && (lost || !(await readIsRestored(db).catch(() => false)));
}

async function requireHeads(db: Tx, next: number): Promise<Heads> {
  const heads = await readHeads(db, next);
  if (heads === null) throw notWhole();
  return heads;
}

function notWhole(): MidctlError {
  return new MidctlError(
    "schema_version",
    "This database has no midctl schema, or not all that belongs into it.",
    {
      hint: WAIT_OR_MIGRATE,
    },
  );
}

/** How far it has come. Nothing of it moves before it has been read, so that a reading that fails is made again. */
class Follower {
  readonly #db: Tx;
  readonly #filter: EventFilter;
  #next: number;
  /** Hash of the entry before the next, once it is known. */
  #leaf: string | null = null;
  readonly #numbers: EventNumbers;
  #settledAt = Number.NEGATIVE_INFINITY;
  /** Read, and not yet given: the other side may have older ones. */
  #entries: AuditEvent[] = [];
  #events: AuditEvent[] = [];
  #moreEvents = false;

  private constructor(db: Tx, filter: EventFilter, next: number, numbers: EventNumbers) {
    this.#db = db;
    this.#filter = filter;
    this.#next = next;
    this.#numbers = numbers;
  }

  static async begin(db: Tx, { from, ...filter }: FollowQuery): Promise<Follower> {
    if (filter.identity !== undefined && (await findIdentity(db, filter.identity)) === null) {
      throw await notFound(db, { kind: "identity", slug: filter.identity });
    }
    const { size, top } = await requireHeads(db, 0);
    if (from !== undefined && from > size) {
      throw new MidctlError(
        "usage",
        `There is no log_${from}: the log has ${size} entries; nothing was followed.`,
        {
          hint: `log_${size} is the one to come`,
        },
      );
    }
    const since = from === undefined ? filter.since : await readEntryTime(db, from);
    const { index, before } = await findBeginning(db, since ?? null);
    const last = before ?? top;
    const numbers = new EventNumbers(last);
    // What is being written now may have a lower number.
    const low = BigInt(last) > UNFINISHED ? String(BigInt(last) - UNFINISHED) : "1";
    numbers.miss({ from: low, to: last }, await readNumbers(db, { from: low, to: last }));
    const narrowed = since === undefined || since === null ? filter : { ...filter, since };
    return new Follower(db, narrowed, from ?? index ?? size, numbers);
  }

  /** What has come since, and whether there is more to be read at once. */
  async read(): Promise<{ readonly events: AuditEvent[]; readonly more: boolean }> {
    const { size, leaf, top } = await requireHeads(this.#db, this.#next);
    this.#requireSameLog(size, leaf);
    const end = Math.min(size, this.#next + BATCH);
    if (this.#entries.length === 0 && end > this.#next) {
      const { until: to } = await readFit(this.#db, this.#next, end, SHOWN_AT_ONCE);
      this.#entries = await readEntries(this.#db, this.#filter, this.#next, to);
      this.#next = to;
      this.#leaf = null;
    }
    const moreEntries = this.#next < size;
    if (this.#events.length === 0 && this.#numbers.isBehind(top)) {
      const found = await readNumbered(this.#db, this.#filter, this.#numbers.wanted(top), BATCH);
      this.#moreEvents = found.length === BATCH;
      this.#numbers.take(
        found.map(({ number }) => number),
        !this.#moreEvents,
      );
      this.#events = found
        .filter(({ fits }) => fits)
        .map(withoutNumber)
        .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
      await this.#settle();
    }
    const events: AuditEvent[] = [];
    for (;;) {
      const [entry, event] = [this.#entries[0], this.#events[0]];
      if (entry === undefined && (event === undefined || moreEntries)) break;
      if (event === undefined && this.#moreEvents) break;
      const older =
        event === undefined || (entry !== undefined && entry.at <= event.at) ? this.#entries : this.#events;
      events.push(older.shift() as AuditEvent);
    }
    return { events, more: moreEntries || this.#moreEvents };
  }

  /** A log that was restored from before, or written anew, goes on otherwise than it was followed. */
  #requireSameLog(size: number, leaf: string | null): void {
    if (size < this.#next || (this.#leaf !== null && leaf !== this.#leaf)) {
      throw new MidctlError(
        "conflict",
        `The log is not the one any more that was followed up to log_${this.#next - 1}: it was restored from before, or rewritten.`,
        { hint: "midctl audit verify says more; then follow it anew" },
      );
    }
    this.#leaf = leaf;
  }

  async #settle(): Promise<void> {
    if (!this.#numbers.hasHoles || performance.now() - this.#settledAt < SETTLE) return;
    this.#numbers.settle(await readWriters(this.#db));
    this.#settledAt = performance.now();
  }
}

function withoutNumber({ number: _, fits: __, ...event }: NumberedEvent): AuditEvent {
  return event;
}
