import { isInForce, type Lease, type Moment } from "../../domain/lease.ts";
import type { Accepted } from "../decide.ts";

/** A good answer that may be given again. */
export interface Cached {
  readonly decision: Accepted;
  readonly publicId: string;
  /** Public ids whose change ends it. */
  readonly ids: readonly string[];
  /** ms of the steady clock. */
  readonly until: number;
  /** How far apart uses are noted, ms, and when the next is due by the steady clock. */
  readonly noteEvery: number;
  noteAt: number;
}

/**
 * Good answers by hash of the token, for as long as the lease is in force. Only what was read under the lease that is
 * still held comes in, and nothing that was being read while a change was heard.
 */
export class DecisionCache {
  readonly #room: number;
  #lease: Lease | null = null;
  #epoch = 0;
  /** Two generations: what nobody has asked for since the last turn goes at the next. */
  #young = new Generation();
  #old = new Generation();

  /** @param room answers at most; about 1 KB each */
  constructor(room: number) {
    this.#room = Math.max(2, room);
  }

  /** Counts what may have made a reading under way worthless. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Answers that are kept, under the lease. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Whether anything may be kept now. */
  isLeased(now: Moment): boolean {
    return this.#lease !== null && isInForce(this.#lease, now);
  }

  /** Begins anew under another lease, or extends the one held. */
  hold(lease: Lease, isExtension: boolean): void {
    if (!isExtension) this.clear();
    this.#lease = lease;
  }

  /** Caches nothing more, and forgets what there is. */
  release(): void {
    this.#lease = null;
    this.clear();
  }

  clear(): void {
    this.#epoch++;
    this.#young = new Generation();
    this.#old = new Generation();
  }

  /** The answer to give for this hash, or null. */
  get(hash: string, now: Moment): Cached | null {
    const lease = this.#lease;
    if (lease === null) return null;
    if (!isInForce(lease, now)) {
      this.release();
      return null;
    }
    let found = this.#young.get(hash);
    if (found === undefined) {
      found = this.#old.get(hash);
      if (found === undefined) return null;
      this.#keep(hash, found);
    }
    if (now.steady < found.until) return found;
    this.#young.drop(hash);
    this.#old.drop(hash);
    return null;
  }

  /** Keeps an answer that was read in `epoch`, if nothing has been heard since. */
  add(hash: string, cached: Cached, epoch: number, now: Moment): void {
    if (this.#lease === null || epoch !== this.#epoch || !isInForce(this.#lease, now)) return;
    this.#keep(hash, cached);
  }

  /** Forgets what hangs on these public ids; `*` is everything. */
  letGo(ids: readonly string[]): void {
    if (ids.includes("*")) {
      this.clear();
      return;
    }
    this.#epoch++;
    for (const id of ids) {
      this.#young.letGo(id);
      this.#old.letGo(id);
    }
  }

  #keep(hash: string, cached: Cached): void {
    if (this.#young.size >= this.#room / 2) {
      this.#old = this.#young;
      this.#young = new Generation();
    }
    this.#young.set(hash, cached);
  }
}

class Generation {
  readonly #answers = new Map<string, Cached>();
  readonly #byId = new Map<string, Set<string>>();

  get size(): number {
    return this.#answers.size;
  }

  get(hash: string): Cached | undefined {
    return this.#answers.get(hash);
  }

  set(hash: string, cached: Cached): void {
    this.#answers.set(hash, cached);
    for (const id of cached.ids) {
      const hashes = this.#byId.get(id);
      if (hashes === undefined) this.#byId.set(id, new Set([hash]));
      else hashes.add(hash);
    }
  }

  drop(hash: string): void {
    const cached = this.#answers.get(hash);
    if (cached === undefined) return;
    this.#answers.delete(hash);
    for (const id of cached.ids) {
      const hashes = this.#byId.get(id);
      hashes?.delete(hash);
      if (hashes?.size === 0) this.#byId.delete(id);
    }
  }

  letGo(id: string): void {
    for (const hash of [...(this.#byId.get(id) ?? [])]) this.drop(hash);
  }
}
