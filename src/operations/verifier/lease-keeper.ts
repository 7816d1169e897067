import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Database, Listener } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { KeptHead } from "../../domain/kept-head.ts";
import { isInForce, type Lease, type Moment } from "../../domain/lease.ts";
import {
  acknowledge,
  beginLease,
  buryVerifier,
  CHANGE_CHANNEL,
  endLease,
  type Leased,
  ping,
  pingChannel,
  readVerifiers,
  renewLease,
} from "../../repository/verifier.ts";
import { refuseLate, within } from "../patience.ts";
import type { DecisionCache } from "./cache.ts";
import type { Heads } from "./heads.ts";
import { StandstillWatch } from "./standstill.ts";

/** How long others wait for a verifier that has died, ms: what a revocation costs at worst. */
export const DEFAULT_LEASE = 3000;

/** Between attempts at a lease, ms: doubled from the first to the last while they fail. */
const FIRST_RETRY = 250;
const LAST_RETRY = 10_000;
/** A session that hears nothing (a pooler gave it) is not asked again soon, ms. */
const DEAF_RETRY = 60_000;

/** How far the database's clock may be set between two renewals, ms, before what was reckoned by it is forgotten. */
const CLOCK_STEP = 1000;

export function momentNow(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/**
 * Holds a lease for the cache (SPEC §8): renews it in the database while it hears what is told, lets go of what changed
 * and says so. A session that cannot hear itself, or is lost, means no cache; decisions go on without.
 */
export class LeaseKeeper {
  readonly #db: Database;
  readonly #cache: DecisionCache;
  readonly #length: number;
  readonly #name: string;
  readonly #heads: Heads | null;
  #holding: Holding | null = null;
  readonly #deaf: () => void;
  #closed = false;
  #running: Promise<void> | null = null;
  #wake: () => void = () => undefined;

  constructor(
    db: Database,
    cache: DecisionCache,
    options: {
      readonly length: number;
      readonly name: string | null;
      readonly heads: Heads | null;
      readonly deaf: () => void;
    },
  ) {
    this.#db = db;
    this.#cache = cache;
    this.#length = options.length;
    this.#deaf = options.deaf;
    this.#heads = options.heads;
    this.#name = options.name ?? `${hostname()}/${process.pid}`;
  }

  /** Begins in the background, once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Gives the lease up, so that nobody waits for it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cache.release();
    this.#holding?.stop();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    let pause = FIRST_RETRY;
    /** The lease of a session that was lost: whoever revokes would wait for it, though nothing is cached under it. */
    let left: string | null = null;
    while (!this.#closed) {
      const holding: Holding = new Holding(
        { db: this.#db, cache: this.#cache, heads: this.#heads, length: this.#length, name: this.#name },
        left,
      );
      this.#holding = holding;
      const outcome = await holding.run();
      this.#holding = null;
      left = holding.left;
      if (this.#closed) return;
      if (outcome === "buried") continue;
      if (outcome === "deaf") this.#deaf();
      pause = outcome === "lost" ? FIRST_RETRY : Math.min(pause * 2, LAST_RETRY);
      await this.#rest(outcome === "deaf" ? DEAF_RETRY : pause);
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms).unref();
    });
  }
}

/** `lost`: after it was held. `failed`: never held. `deaf`: the session hears nothing. `buried`: taken for dead. */
type Outcome = "lost" | "failed" | "deaf" | "buried" | "stopped";

function isPooled(error: unknown): boolean {
  return error instanceof MidctlError && error.details.pooled === true;
}

/** One session, and the one lease that it holds. */
class Holding {
  readonly #db: Database;
  readonly #cache: DecisionCache;
  readonly #heads: Heads | null;
  readonly #length: number;
  readonly #name: string;
  readonly #id = randomUUID();
  /** A lease that is still in the database though nobody holds it any more. */
  left: string | null;
  readonly #watch = new StandstillWatch();
  /** Words on their way to ourselves. */
  readonly #pings = new Map<string, (heard: boolean) => void>();
  /** What waits, and is let go when this is over. */
  readonly #waits = new Set<() => void>();
  #listener: Listener | null = null;
  #over = false;
  #lease: Lease | null = null;
  /** The database's clock less the steady one, ms. */
  #offset = Number.NaN;
  /** The furthest that is to be acknowledged, and whether one is on its way. */
  #upto = 0n;
  #acknowledged = 0n;
  #acknowledging = false;

  constructor(
    parts: {
      readonly db: Database;
      readonly cache: DecisionCache;
      readonly heads: Heads | null;
      readonly length: number;
      readonly name: string;
    },
    left: string | null,
  ) {
    this.#db = parts.db;
    this.#cache = parts.cache;
    this.#heads = parts.heads;
    this.#length = parts.length;
    this.#name = parts.name;
    this.left = left;
  }

  stop(): void {
    this.#over = true;
    for (const letGo of [...this.#waits]) letGo();
  }

  async run(): Promise<Outcome> {
    let outcome: Outcome = "failed";
    try {
      outcome = await this.#hold();
    } catch (error) {
      outcome = this.#lease !== null ? "lost" : isPooled(error) ? "deaf" : "failed";
    } finally {
      this.#cache.release();
      await this.#leave();
    }
    return outcome;
  }

  async #hold(): Promise<Outcome> {
    const listener = await this.#db.listen([CHANGE_CHANNEL, pingChannel(this.#id)], {
      heard: (channel, payload) => this.#hear(channel, payload),
      lost: () => {
        // At once: what is said from here on is not heard.
        this.#cache.release();
        this.stop();
      },
    });
    this.#listener = listener;
    if (!(await this.#heardBack("hello", () => ping(listener, this.#id, "hello")))) {
      return this.#over ? "failed" : "deaf";
    }
    if (this.left !== null) await endLease(listener, this.left);
    this.left = this.#id;
    if ((await this.#grant("0", () => beginLease(listener, this.#terms()))) !== "granted") return "failed";
    for (let renewal = 1; ; renewal++) {
      await this.#wait(this.#length / 3, undefined, () => undefined);
      if (this.#over) return "lost";
      const answer = await this.#grant(String(renewal), () =>
        renewLease(listener, this.#id, String(renewal)),
      );
      if (answer !== "granted") return answer;
      await this.#buryTheDead(listener);
    }
  }

  #terms() {
    return { id: this.#id, name: this.#name, leaseMs: this.#length };
  }

  /** A lease counts from when its word is heard: then it is committed, and all that was told before has been heard. */
  async #grant(word: string, ask: () => Promise<Leased | null>): Promise<"granted" | "buried" | "lost"> {
    const sent = momentNow();
    const floor = this.#heads?.floor ?? null;
    const answers: (Leased | null)[] = [];
    const heard = await this.#heardBack(word, async () => {
      const answer = await ask();
      answers.push(answer);
      return answer !== null;
    });
    const [granted] = answers;
    if (granted === null) return "buried";
    if (!heard || this.#over || granted === undefined) return "lost";
    const goesOn = await this.#goesOn(granted, floor);
    if (this.#over) return "lost";
    const held = this.#lease;
    this.#lease = { sent, length: this.#length };
    if (goesOn) this.#cache.hold(this.#lease, held !== null && isInForce(held, momentNow()));
    this.#checkClock(Date.parse(granted.at) - sent.steady);
    this.#acknowledge(); // what was told while the lease was on its way
    return "granted";
  }

  /** Nothing is kept under a lease in a database that has forgotten what it said; those who revoke are answered all the same. */
  async #goesOn(granted: Leased, floor: KeptHead | null): Promise<boolean> {
    const heads = this.#heads;
    if (heads === null) return true;
    try {
      const judged = heads.judge(granted, floor);
      if (judged instanceof Promise) await within(this.#length / 3, judged, refuseLate);
      return true;
    } catch {
      this.#cache.release();
      return false;
    }
  }

  /** Ends in the cache were reckoned from the database's clock: where that was set, they are wrong. */
  #checkClock(offset: number): void {
    if (Math.abs(offset - this.#offset) > CLOCK_STEP) this.#cache.clear();
    this.#offset = offset;
  }

  /** Says a word to itself; false where it does not come back within a lease, or was not said after all. */
  async #heardBack(word: string, say: () => Promise<unknown>): Promise<boolean> {
    const heard = this.#wait(this.#length, false, (settle) => this.#pings.set(word, settle));
    const said = this.#wait(this.#length, false, (settle) => {
      say().then(
        (answer) => settle(answer !== false),
        () => settle(false),
      );
    });
    if (!(await said)) this.#pings.get(word)?.(false);
    const came = await heard;
    this.#pings.delete(word);
    return came;
  }

  /** What `start` settles with; `otherwise` after so many ms, or when this is over. */
  #wait<T>(ms: number, otherwise: T, start: (settle: (value: T) => void) => void): Promise<T> {
    return new Promise((resolve) => {
      const settle = (value: T) => {
        clearTimeout(timer);
        this.#waits.delete(giveUp);
        resolve(value);
      };
      const giveUp = () => settle(otherwise);
      const timer = setTimeout(giveUp, ms);
      timer.unref();
      this.#waits.add(giveUp);
      if (this.#over) giveUp();
      else start(settle);
    });
  }

  #hear(channel: string, payload: string): void {
    if (channel !== CHANGE_CHANNEL) {
      this.#pings.get(payload)?.(true);
      return;
    }
    const [upto = "0", ...ids] = payload.split(" ");
    this.#cache.letGo(ids);
    this.#upto = BigInt(upto) > this.#upto ? BigInt(upto) : this.#upto;
    this.#acknowledge();
  }

  #acknowledge(): void {
    if (this.#acknowledging || this.#lease === null || this.#upto <= this.#acknowledged) return;
    const upto = this.#upto;
    this.#acknowledging = true;
    acknowledge(this.#listener as Listener, this.#id, String(upto))
      .then(() => {
        this.#acknowledged = upto;
        this.#acknowledging = false;
        this.#acknowledge();
      })
      .catch(() => undefined);
  }

  /** Nobody is to wait for what no longer lives. */
  async #buryTheDead(listener: Listener): Promise<void> {
    const others = (await readVerifiers(listener)).filter(({ id }) => id !== this.#id);
    for (const dead of this.#watch.observe(others, performance.now())) await buryVerifier(listener, dead);
  }

  async #leave(): Promise<void> {
    const listener = this.#listener;
    if (listener === null) return;
    if (this.left === this.#id) {
      const ended = endLease(listener, this.#id).then(() => null);
      this.left = await within(this.#length, ended, () => this.#id).catch(() => this.#id);
    }
    listener.close();
  }
}
