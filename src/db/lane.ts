import type { Socket } from "node:net";
import postgres from "postgres";
import type { MidctlError } from "../domain/errors.ts";
import type { Param } from "./database.ts";
import { connectionLost, isConnectionFailure, toMidctlError } from "./failure.ts";
import { type Endpoint, openSocket } from "./target.ts";
import { PARSERS, requireParams } from "./values.ts";

/** What a statement came back with. */
interface Answer<Row> {
  readonly rows: Row[];
  /** The command tag's first word: `SELECT`, `ROLLBACK`. */
  readonly command: string;
  /** The process that the server, or whoever stands before it, named as ours when we connected. */
  readonly named: number;
}

/**
 * One connection to one server, for its one life. postgres.js speaks the protocol; but its pool silently reconnects, runs
 * what was queued for a transaction outside of it, leaves promises hanging and writes to a socket that is gone (an
 * uncatchable TypeError), so a lane is one postgres.js client of one connection whose socket is ours and is opened
 * once: when it closes, the lane has ended and whatever waited fails.
 */
export class Lane {
  readonly #sql: postgres.Sql;
  readonly #waiting = new Set<(error: MidctlError) => void>();
  readonly #onEnd: (lane: Lane) => void;
  /** Whether the server's session is this connection's own, or a pooler's that others get in between. */
  #session: "own" | "shared" | "unknown" | "asked";
  /** Statements that ran once, while that is unknown. */
  readonly #seen = new Set<string>();
  #socket: Socket | null = null;
  #opened = false;
  #ended: MidctlError | null = null;

  constructor(
    endpoint: Endpoint,
    applicationName: string,
    onEnd: (lane: Lane) => void,
    onNotify: (channel: string, payload: string) => void = () => undefined,
  ) {
    this.#onEnd = onEnd;
    this.#session = endpoint.direct ? "own" : "unknown";
    this.#sql = openClient(endpoint, applicationName, {
      openSocket: () => this.#open(endpoint),
      onClose: () => this.#end(connectionLost("CONNECTION_CLOSED")),
      onNotify,
    });
  }

  /** Why this lane can carry nothing more, or null. */
  get ended(): MidctlError | null {
    return this.#ended;
  }

  /** How many statements are under way. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  /**
   * Sends a statement, behind those already sent: nothing is awaited in between. Prepared once per lane, where it comes
   * again and the session is the lane's own: a pooler would look for it in a session that has never heard of it, and
   * leave it behind in one that is not ours. Unprepared, it is the first time no slower.
   */
  async run<Row extends object>(text: string, params: readonly Param[]): Promise<Answer<Row>> {
    requireParams(params);
    // As text, so that the server alone decides on types: `$1::text` takes `true` like everything else.
    const bound = params.map((param) => (typeof param === "boolean" ? String(param) : param));
    const how = this.#mayPrepare(text) ? PREPARED : UNPREPARED;
    return this.#track<Row>(() => this.#sql.unsafe(text, bound, how));
  }

  /**
   * Whether a pooler stands in between, in whose sessions nothing lasts and nothing is heard: the process that answers
   * is not the one that the server named when we connected.
   */
  async isPooled(): Promise<boolean> {
    if (this.#session === "unknown" || this.#session === "asked") await this.#askWho();
    return this.#session === "shared";
  }

  #mayPrepare(text: string): boolean {
    if (this.#session === "own") return true;
    if (this.#session === "unknown") {
      if (this.#seen.has(text)) this.#askWho().catch(() => undefined);
      else this.#seen.add(text);
    }
    return false;
  }

  async #askWho(): Promise<void> {
    this.#session = "asked";
    try {
      const { rows, named } = await this.#track<{ pid: string }>(() =>
        this.#sql.unsafe("SELECT pg_backend_pid()::text AS pid", [], ASKING),
      );
      this.#session = rows[0]?.pid === String(named) ? "own" : "shared";
      this.#seen.clear();
    } catch (error) {
      // In a transaction that has failed, nothing is answered; the next repetition asks again.
      this.#session = "unknown";
      throw error;
    }
  }

  /** Sends any number of statements without parameters as one message. */
  async runSimple(text: string): Promise<string> {
    return (await this.#track(() => this.#sql.unsafe(text, [], SIMPLE))).command;
  }

  /** Lets go of the connection without waiting; what is under way fails. */
  close(): void {
    if (this.#ended === null) this.#end(connectionLost("CONNECTION_ENDED"));
  }

  #track<Row>(send: () => postgres.PendingQuery<postgres.Row[]>): Promise<Answer<Row>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      send().then(
        (result) => {
          this.#waiting.delete(reject);
          resolve({ rows: result.slice() as Row[], command: result.command, named: result.state?.pid ?? 0 });
        },
        (error: unknown) => {
          this.#waiting.delete(reject);
          const failure = toMidctlError(error);
          reject(failure);
          // FATAL is the server's last word: the statements behind it get the same reason, not just "lost". And the
          // driver's word that the connection failed comes before the socket's close: nothing may be sent in between.
          if ((error as { severity?: unknown }).severity === "FATAL" || isConnectionFailure(failure))
            this.#end(failure);
        },
      );
    });
  }

  async #open(endpoint: Endpoint): Promise<Socket> {
    if (this.#ended !== null) throw this.#ended;
    if (this.#opened) throw connectionLost("CONNECTION_CLOSED");
    this.#opened = true;
    try {
      this.#socket = await openSocket(endpoint);
      return this.#socket;
    } catch (error) {
      const failure = toMidctlError(error);
      this.#end(failure);
      throw failure;
    }
  }

  #end(reason: MidctlError): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    for (const reject of this.#waiting) reject(reason);
    this.#waiting.clear();
    // Says goodbye and closes; awaiting it would cost a command 5 ms.
    this.#sql.end({ timeout: 0 }).catch(() => undefined);
    this.#socket?.unref();
    this.#onEnd(this);
  }
}

/**
 * Nothing is sent behind it before its answer: of what follows in the same breath, pgbouncer gives the session to
 * somebody else once the first is answered, and both wait for ever.
 */
const ALONE = { onexecute: () => false };
const UNPREPARED = { prepare: false, simple: false, ...ALONE } as postgres.UnsafeQueryOptions;
const ASKING = { prepare: false, simple: true, ...ALONE } as postgres.UnsafeQueryOptions;
const PREPARED = { prepare: true, simple: false } as postgres.UnsafeQueryOptions;
const SIMPLE = { prepare: false, simple: true } as postgres.UnsafeQueryOptions;

/** As text; the database decides what a parameter is. JSON and timestamps would otherwise be re-encoded. */
const asIs = (value: unknown) => `${value}`;

function openClient(
  endpoint: Endpoint,
  applicationName: string,
  hooks: {
    openSocket: () => Promise<Socket>;
    onClose: () => void;
    onNotify: (channel: string, payload: string) => void;
  },
): postgres.Sql {
  const options: postgres.Options<Record<string, postgres.PostgresType>> & Record<string, unknown> = {
    host: endpoint.host,
    port: endpoint.port,
    user: endpoint.user,
    database: endpoint.database,
    ...(endpoint.password === null ? {} : { password: endpoint.password }),
    socket: hooks.openSocket,
    onclose: hooks.onClose,
    onnotify: hooks.onNotify,
    onnotice: () => undefined,
    // Every option that postgres.js would otherwise take from PG* variables of its own invention is given.
    ssl: false,
    max: 1,
    prepare: true,
    debug: false,
    fetch_types: false,
    idle_timeout: 0,
    max_lifetime: null,
    max_pipeline: 100,
    connect_timeout: endpoint.connectTimeout,
    keep_alive: 60,
    backoff: () => 0,
    connection: {
      application_name: endpoint.applicationName ?? applicationName,
      TimeZone: "UTC",
      // In the server's own words, or a pooler would set it again for each transaction.
      DateStyle: "ISO, MDY",
    },
    types: Object.fromEntries(
      Object.entries(PARSERS).map(([type, parse]) => [
        `midctl_${type}`,
        { to: Number(type), from: [Number(type)], serialize: asIs, parse },
      ]),
    ),
  };
  return postgres(options);
}
