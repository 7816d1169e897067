import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type Reading, readTokensByHash, readTokensById } from "../../repository/token-facts.ts";
import { requirePrimary, type Wanted } from "../decide.ts";
import { refuseLate, within } from "../patience.ts";

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

interface Waiter {
  resolve(found: Found): void;
  reject(error: unknown): void;
}

/**
 * Lookups that come together go together, in one statement. A caller never joins a statement that was sent before it
 * asked: its answer would be older than the question.
 */
export class Lookups {
  readonly #byId: Gathering;
  readonly #byHash: Gathering;

  /** @param patience for one statement, ms */
  constructor(db: Tx, epoch: () => number, patience: number) {
    this.#byId = new Gathering((keys) => within(patience, readTokensById(db, keys), refuseLate), epoch);
    this.#byHash = new Gathering((keys) => within(patience, readTokensByHash(db, keys), refuseLate), epoch);
  }

  /** Statements sent so far. */
  get sent(): number {
    return this.#byId.sent + this.#byHash.sent;
  }

  /** Throws `unavailable`. */
  find(wanted: Wanted): Promise<Found> {
    return (wanted.by === "id" ? this.#byId : this.#byHash).find(wanted.key);
  }
}

class Gathering {
  readonly #read: (keys: readonly string[]) => Promise<Reading>;
  readonly #epoch: () => number;
  #waiting = new Map<string, Waiter[]>();
  #underWay = 0;
  #scheduled = false;
  sent = 0;

  constructor(read: (keys: readonly string[]) => Promise<Reading>, epoch: () => number) {
    this.#read = read;
    this.#epoch = epoch;
  }

  find(key: string): Promise<Found> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      const others = this.#waiting.get(key);
      if (others === undefined) this.#waiting.set(key, [waiter]);
      else others.push(waiter);
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

  #sendBatch(batch: Map<string, Waiter[]>): void {
    const epoch = this.#epoch();
    const sent = performance.now();
    this.#underWay++;
    this.sent++;
    this.#read([...batch.keys()])
      .then(requirePrimary)
      .then(
        (reading) => settle(batch, (waiter) => waiter.resolve({ reading, epoch, sent })),
        (error: unknown) => settle(batch, (waiter) => waiter.reject(asUnavailable(error))),
      )
      .finally(() => {
        this.#underWay--;
        this.#schedule();
      });
  }

  #take(share: number): Map<string, Waiter[]> {
    if (this.#waiting.size <= share) {
      const all = this.#waiting;
      this.#waiting = new Map();
      return all;
    }
    const some = new Map<string, Waiter[]>();
    for (const [key, waiters] of this.#waiting) {
      some.set(key, waiters);
      this.#waiting.delete(key);
      if (some.size === share) break;
    }
    return some;
  }
}

function settle(batch: Map<string, Waiter[]>, each: (waiter: Waiter) => void): void {
  for (const waiters of batch.values()) waiters.forEach(each);
}

function asUnavailable(error: unknown): unknown {
  return error instanceof MidctlError
    ? error
    : new MidctlError("unavailable", "The token could not be looked up.", { cause: error });
}
