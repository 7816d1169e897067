/**
 * The narrow waist between SQL and whatever carries it. Every repository function takes a `Tx` first; a `Tx`
 * comes from postgres.js (the CLI, the authenticator), PGlite, or a host's own drizzle transaction.
 */

/**
 * What a statement may be given. Anything richer travels as text and is made in SQL (`$1::text::jsonb`,
 * `decode($1, 'hex')`): what a host's driver does to JSON, arrays and bytea differs. A boolean goes where SQL wants one.
 */
export type Param = string | number | boolean | null;

export interface Tx {
  /**
   * Runs one statement with `$1…` parameters and returns its rows, whatever carries it: `bigint`, `numeric`,
   * `timestamp` and `timestamptz` as strings (PostgreSQL's own text), `json`/`jsonb` parsed, `bytea` as Uint8Array.
   * A transaction runs its statements in the order in which they are given, awaited or not: what does not depend on an
   * answer is sent behind (`Promise.all`), and costs no round trip of its own.
   * Errors are MidctlError already (see db/failure.ts): guard refusals as `conflict`/`illegal_transition`,
   * lost connections as `unavailable`; none holds parameters.
   */
  query<Row extends object>(text: string, params?: readonly Param[]): Promise<Row[]>;
}

/** A transaction on a connection of our own, which can also run a migration file. */
export interface OwnTx extends Tx {
  /** Runs any number of statements without parameters; results are dropped. */
  script(text: string): Promise<void>;
}

export interface Database extends Tx {
  /** Whether a statement of its own can run while a transaction is open. PGlite is one session, and cannot. */
  readonly concurrent: boolean;
  /**
   * Runs `work` in one READ COMMITTED transaction; a throw rolls back. A deadlock or serialization failure
   * (40P01, 40001) is retried up to 3 times: `work` must be ready to run again. A connection lost during COMMIT throws
   * `CommitUnknown`.
   */
  transaction<T>(work: (tx: OwnTx) => Promise<T>): Promise<T>;
  /**
   * Opens a session of its own that listens. What it hears comes in the order in which the transactions that said it
   * committed (PostgreSQL's NOTIFY), and what a statement of its own says before that statement's successor answers.
   * @param channels lower-case identifiers that are no keyword of SQL
   * @throws MidctlError `unavailable`, behind a pooler with `details` `{ pooled: true }`
   */
  listen(channels: readonly string[], ears: Ears): Promise<Listener>;
  /** Lets go of every connection at once; what is still under way fails as `unavailable`. Idempotent. */
  close(): Promise<void>;
}

export interface Ears {
  heard(channel: string, payload: string): void;
  /** The session is over, by whatever cause but `close`: what was said since may have been missed. Called once. */
  lost(): void;
}

/** A listening session. Its statements run one behind the other, each a transaction of its own. */
export interface Listener extends Tx {
  close(): void;
}
