import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { KeptHead } from "../../domain/kept-head.ts";
import { type Reading, readLegacyTokens, readTokens, type Secret } from "../../repository/token-facts.ts";
import { requirePrimary, type Wanted } from "../decide.ts";
import { refuseLate, within } from "../patience.ts";
import type { Heads } from "./heads.ts";

/** So many in one statement at most; more gain nothing. */
const BATCH = 128;

/** So many statements under way at once: one is read while the other is answered. */
const LANES = 2;

/** What a lookup came to. */
export interface Found {
  readonly reading: Reading;
  /** The cache's epoch when its statement was sent. */
  readonly epoch: number;
  /** When that was, ms of the steady clock. */
  readonly sent: number;
}

/** What is asked for, and by whom. */
interface Asked<Key> {
  readonly key: Key;
  readonly waiters: Waiter[];
}

interface Waiter {
  resolve(found: Found): void;
  reject(error: unknown): void;
}

/**
 * Lookups that come together go together, in one statement. A caller never joins a statement that was sent before it
 * asked: its answer would be older than the question.
 */
export class Lookups {
  readonly #own: Gathering<Secret>;
  readonly #legacy: Gathering<string>;

  /**
   * @param patience for one statement, ms
   * @param heads judges what was read by the log's head, as the same statement saw it; opened by who asks
   */
  constructor(db: Tx, epoch: () => number, patience: number, heads: Heads | null) {
    const withHead = heads !== null;
    const read = (asked: Promise<Reading>) => {
      // What is seen from here on by others need not be in this statement's snapshot.
      const floor = heads?.floor ?? null;
      const answer = within(patience, asked, refuseLate).then(requirePrimary);
      return heads === null ? answer : answer.then((reading) => goesOn(heads, reading, floor));
    };
    this.#own = new Gathering((secrets) => read(readTokens(db, secrets, withHead)), epoch);
    this.#legacy = new Gathering((hashes) => read(readLegacyTokens(db, hashes, withHead)), epoch);
  }

  /** Statements sent so far. */
  get sent(): number {
    return this.#own.sent + this.#legacy.sent;
  }

  /** Throws `unavailable`. */
  find({ publicId, hash }: Wanted): Promise<Found> {
    return publicId === null ? this.#legacy.find(hash, hash) : this.#own.find(hash, { publicId, hash });
  }
}

class Gathering<Key> {
  readonly #read: (keys: readonly Key[]) => Promise<Reading>;
  readonly #epoch: () => number;
  /** By hash. */
  #waiting = new Map<string, Asked<Key>>();
  #underWay = 0;
  #scheduled = false;
  sent = 0;

  constructor(read: (keys: readonly Key[]) => Promise<Reading>, epoch: () => number) {
    this.#read = read;
    this.#epoch = epoch;
  }

  find(hash: string, key: Key): Promise<Found> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      const asked = this.#waiting.get(hash);
      if (asked === undefined) this.#waiting.set(hash, { key, waiters: [waiter] });
      else asked.waiters.push(waiter);
      this.#schedule();
    });
  }

  /** After whatever else is ready to ask has asked. */
  #schedule(): void {
    if (this.#scheduled || this.#underWay >= LANES || this.#waiting.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /** A fair share for each lane that is free: in one statement all callers would wait while nobody asks. */
  #send(): void {
    const free = LANES - this.#underWay;
    const share = Math.min(BATCH, Math.ceil(this.#waiting.size / free));
    for (let lane = 0; lane < free && this.#waiting.size > 0; lane++) this.#sendBatch(this.#take(share));
    this.#schedule();
  }

  #sendBatch(batch: readonly Asked<Key>[]): void {
    const epoch = this.#epoch();
    const sent = performance.now();
    this.#underWay++;
    this.sent++;
    this.#read(batch.map(({ key }) => key))
      .then(
        (reading) => settle(batch, (waiter) => waiter.resolve({ reading, epoch, sent })),
        (error: unknown) => settle(batch, (waiter) => waiter.reject(asUnavailable(error))),
      )
      .finally(() => {
        this.#underWay--;
        this.#schedule();
      });
  }

  #take(share: number): readonly Asked<Key>[] {
    if (this.#waiting.size <= share) {
      const all = [...this.#waiting.values()];
      this.#waiting = new Map();
      return all;
    }
    const some: Asked<Key>[] = [];
    for (const [hash, asked] of this.#waiting) {
      some.push(asked);
      this.#waiting.delete(hash);
      if (some.length === share) break;
    }
    return some;
  }
}

function goesOn(heads: Heads, reading: Reading, floor: KeptHead | null): Reading | Promise<Reading> {
  const judged = heads.judge(reading.head, floor);
  return judged instanceof Promise ? judged.then(() => reading) : reading;
}

function settle(batch: readonly Asked<unknown>[], each: (waiter: Waiter) => void): void {
  for (const { waiters } of batch) waiters.forEach(each);
}

function asUnavailable(error: unknown): unknown {
  return error instanceof MidctlError
    ? error
    : new MidctlError("unavailable", "The token could not be looked up.", { cause: error });
}
