import type { MidctlError } from "../domain/errors.ts";
import type { Database, Ears, Listener, OwnTx, Param } from "./database.ts";
import { CommitUnknown, connectionLost, isConnectionLost } from "./failure.ts";
import { Lane } from "./lane.ts";
import { nothingHeard, swallowedFailure, transactionOver } from "./outcome.ts";
import { retryConflicts } from "./retry.ts";
import { type Endpoint, type PostgresTarget, resolveTarget } from "./target.ts";

export type { PostgresTarget } from "./target.ts";

export interface PoolOptions {
  /** Connections at most, 10 unless told. */
  readonly max?: number;
  /** As the server's views show us, `midctl` unless told. */
  readonly applicationName?: string;
  /**
   * How long, in ms, a statement outside a transaction may go unanswered before its connection is given up: a network
   * that swallows packets is noticed by nothing else for minutes. For ever unless told.
   */
  readonly patience?: number;
  /** Told of what was passed over on the way: a password file that others can read. */
  readonly warn?: (text: string) => void;
}

/**
 * A database behind a PostgreSQL server. Nothing connects before the first statement; single statements share lanes
 * and are pipelined, a transaction has a lane to itself.
 * @throws MidctlError `usage` for a URL that cannot be used (the URL itself is never quoted)
 */
export function openPostgres(target: PostgresTarget, options: PoolOptions = {}): Database {
  return new LanePool(resolveTarget(target, options.warn), options);
}

interface Waiter {
  readonly alone: boolean;
  take(lane: Lane): void;
  fail(error: MidctlError): void;
}

class LanePool implements Database {
  readonly #endpoint: Endpoint;
  readonly #max: number;
  readonly #applicationName: string;
  readonly #lanes = new Set<Lane>();
  /** Lanes that a transaction holds. */
  readonly #held = new Set<Lane>();
  /** Lanes outside the pool that listen. */
  readonly #listening = new Set<Lane>();
  /** Transactions and statements that found every lane held, in order of arrival. */
  readonly #queue: Waiter[] = [];
  readonly #patience: number | null;
  #closed = false;

  constructor(endpoint: Endpoint, options: PoolOptions) {
    this.#endpoint = endpoint;
    this.#max = options.max ?? 10;
    this.#applicationName = options.applicationName ?? "midctl";
    this.#patience = options.patience ?? null;
  }

  get concurrent(): boolean {
    return this.#max > 1;
  }

  async query<Row extends object>(text: string, params: readonly Param[] = []): Promise<Row[]> {
    try {
      return (await this.#onLane(false, (lane) => this.#patiently(lane, lane.run<Row>(text, params)))).rows;
    } finally {
      this.#serveQueue();
    }
  }

  transaction<T>(work: (tx: OwnTx) => Promise<T>): Promise<T> {
    return retryConflicts(() => this.#onLane(true, (lane) => this.#attempt(lane, work)));
  }

  async listen(channels: readonly string[], ears: Ears): Promise<Listener> {
    if (this.#closed) throw connectionLost("CONNECTION_ENDED");
    let wanted = true;
    const lane = new Lane(
      this.#endpoint,
      this.#applicationName,
      (ended) => {
        this.#listening.delete(ended);
        if (wanted) ears.lost();
      },
      (channel, payload) => {
        if (wanted) ears.heard(channel, payload);
      },
    );
    this.#listening.add(lane);
    const close = () => {
      wanted = false;
      lane.close();
    };
    try {
      if (await lane.isPooled()) throw nothingHeard();
      await lane.runSimple(channels.map((channel) => `LISTEN ${channel}`).join(";"));
    } catch (error) {
      close();
      throw error;
    }
    return {
      query: async <Row extends object>(text: string, params: readonly Param[] = []) =>
        (await lane.run<Row>(text, params)).rows,
      close,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const lane of this.#listening) lane.close();
    for (const waiter of this.#queue.splice(0)) waiter.fail(connectionLost("CONNECTION_ENDED"));
    for (const lane of this.#lanes) lane.close();
  }

  #patiently<T>(lane: Lane, answer: Promise<T>): Promise<T> {
    if (this.#patience === null) return answer;
    const timer = setTimeout(() => lane.close(), this.#patience);
    return answer.finally(() => clearTimeout(timer));
  }

  async #attempt<T>(lane: Lane, work: (tx: OwnTx) => Promise<T>): Promise<T> {
    const transaction = new LaneTransaction(lane);
    try {
      const result = await work(transaction);
      await transaction.commit();
      return result;
    } catch (error) {
      await transaction.rollback();
      throw error;
    } finally {
      this.#held.delete(lane);
      this.#serveQueue();
    }
  }

  /**
   * Calls `use` with a lane, now or when one is free. It must send at once: a lane without a statement under way counts
   * as free, and the next transaction would take it.
   */
  #onLane<T>(alone: boolean, use: (lane: Lane) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(connectionLost("CONNECTION_ENDED"));
    const lane = this.#queue.length > 0 ? null : this.#take(alone);
    if (lane !== null) return use(lane);
    return new Promise((resolve, reject) => {
      this.#queue.push({ alone, take: (free) => use(free).then(resolve, reject), fail: reject });
    });
  }

  /** A lane for one statement, or for a transaction alone; null where every one is taken. */
  #take(alone: boolean): Lane | null {
    let best: Lane | null = null;
    for (const lane of this.#lanes) {
      if (this.#held.has(lane)) continue;
      if (best === null || lane.inFlight < best.inFlight) best = lane;
    }
    if (best === null || best.inFlight > 0) {
      if (this.#lanes.size < this.#max) best = this.#openLane();
      else if (alone) return null;
    }
    if (alone && best !== null) this.#held.add(best);
    return best;
  }

  #openLane(): Lane {
    const lane = new Lane(this.#endpoint, this.#applicationName, (ended) => {
      this.#lanes.delete(ended);
      this.#held.delete(ended);
      this.#serveQueue();
    });
    this.#lanes.add(lane);
    return lane;
  }

  #serveQueue(): void {
    while (!this.#closed && this.#queue.length > 0) {
      const lane = this.#take(this.#queue[0]?.alone === true);
      if (lane === null) return;
      this.#queue.shift()?.take(lane);
    }
  }
}

/** BEGIN is sent with the first statement, in one write: it costs no round trip. */
class LaneTransaction implements OwnTx {
  readonly #lane: Lane;
  readonly #begun: Promise<unknown>;
  #beginFailure: unknown = null;
  #finished = false;

  constructor(lane: Lane) {
    this.#lane = lane;
    this.#begun = lane.runSimple("BEGIN ISOLATION LEVEL READ COMMITTED").catch((error: unknown) => {
      this.#beginFailure = error;
    });
  }

  async query<Row extends object>(text: string, params: readonly Param[] = []): Promise<Row[]> {
    return (await this.#guard(() => this.#lane.run<Row>(text, params))).rows;
  }

  async script(text: string): Promise<void> {
    await this.#guard(() => this.#lane.runSimple(text));
  }

  /** @throws CommitUnknown where the connection went after COMMIT was sent */
  async commit(): Promise<void> {
    await this.#begun;
    const early = this.#beginFailure ?? this.#lane.ended;
    if (early !== null) throw sayUnchanged(early);
    this.#finished = true;
    let command: string;
    try {
      command = await this.#lane.runSimple("COMMIT");
    } catch (error) {
      throw this.#lane.ended === null ? error : new CommitUnknown();
    }
    if (command === "ROLLBACK") throw swallowedFailure();
  }

  /** Never throws: a lane that cannot roll back is given up, and the server rolls back by itself. */
  async rollback(): Promise<void> {
    const committing = this.#finished;
    this.#finished = true;
    if (committing || this.#lane.ended !== null) return;
    await this.#lane.runSimple("ROLLBACK").catch(() => this.#lane.close());
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    if (this.#finished) throw transactionOver();
    try {
      return await run();
    } catch (error) {
      throw sayUnchanged(this.#beginFailure ?? error);
    }
  }
}

/** Before COMMIT is sent, a lost connection means for certain that nothing was changed. */
function sayUnchanged(error: unknown): unknown {
  return isConnectionLost(error) ? connectionLost(String(error.details.reason), "unchanged") : error;
}
