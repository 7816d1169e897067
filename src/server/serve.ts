import { createServer, type RequestListener } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { Database } from "../db/database.ts";
import type { Authenticator } from "../operations/authenticate.ts";
import { within } from "../operations/patience.ts";
import { AccessLog } from "./access-log.ts";
import type { Address } from "./address.ts";
import { createApp } from "./app.ts";
import { Connections } from "./connections.ts";
import { answerError, beginExchange, type Exchange, type Services } from "./exchange.ts";
import { preferFastLane } from "./fast-lane.ts";
import { Health } from "./health.ts";
import { listenAt } from "./listen.ts";
import { type CheckpointState, Metrics } from "./metrics.ts";
import { Sealer } from "./sealer.ts";
import { readTarget } from "./target.ts";
import { Turns } from "./turns.ts";

export interface ServeOptions {
  readonly address: Address;
  readonly db: Database;
  readonly authenticator: Authenticator;
  readonly version: string;
  /** Takes the access log, whole lines; null for none. */
  readonly log: ((lines: string) => void) | null;
  /** Takes what went wrong inside. */
  report(error: unknown): void;
  /** Wall clock, ms. */
  now(): number;
  /** Of checkpoints that are made while it runs; none where it is left out. */
  readonly checkpoints?: () => CheckpointState;
  readonly limits?: Partial<Limits>;
}

/** Milliseconds. */
export interface Limits {
  /** Within which a request's headers have to come. */
  readonly headers: number;
  /** Within which a whole request has to come. */
  readonly request: number;
  /** After which a connection on which nothing moves is closed. */
  readonly idle: number;
  /** Within which, once the server is told to end, what is under way has to end. */
  readonly drain: number;
  /** After which an agent is told that a tool took too long. */
  readonly answer: number;
}

const LIMITS: Limits = { headers: 10_000, request: 15_000, idle: 75_000, drain: 6_000, answer: 30_000 };
/** ms for the database to take the last uses and the lease. With `drain` it stays below the 10 s that Docker waits. */
const CLOSE_WITHIN = 2_000;
/** Bytes of all headers together; Node answers 431 beyond. A bearer's own header may have half of it. */
const HEADERS_MAX = 16 * 1024;

/** Requests of /mcp of all agents, and of each token. They share the pool of connections with decisions. */
const MCP_ALL = { atOnce: 4, admitted: 32 };
const MCP_EACH = { atOnce: 2, admitted: 8 };

export interface RunningServer {
  /** Where it listens indeed: with the port that was free, where any would do. */
  readonly address: Address;
  /**
   * Ends in order: stops accepting, lets what is under way finish within the limit, notes the uses, gives up the
   * verifier's lease and closes the database. Idempotent.
   */
  stop(): Promise<void>;
}

/** @throws MidctlError where the address cannot be listened at */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { db, authenticator, version, now, report } = options;
  const limits = { ...LIMITS, ...options.limits };
  const metrics = new Metrics(options.checkpoints ?? null);
  const health = new Health(db, now, authenticator);
  const turns = new Turns(MCP_ALL, MCP_EACH);
  const answerWithin = limits.answer;
  const services: Services = { db, authenticator, metrics, health, version, turns, answerWithin };
  const app = createApp(services, report);
  const log = options.log === null ? null : new AccessLog(options.log, now);

  const over = (exchange: Exchange, method: string, status: number): void => {
    metrics.answered(exchange.route, status);
    log?.note(method, exchange, status, performance.now() - exchange.started);
  };
  const answer = async (request: Request): Promise<Response> => {
    const exchange = beginExchange();
    const response = await app.fetch(request, exchange);
    over(exchange, request.method, response.status);
    return response;
  };
  const byHono = getRequestListener(answer, {
    hostname: "localhost", // of an HTTP/1.0 request that names none
    errorHandler: () => answerError(400, "bad_request"),
  });
  const byPath = preferFastLane(services, over, report, byHono);
  const listener: RequestListener = (incoming, outgoing) => {
    connections.begin(outgoing);
    incoming.url = readTarget(incoming.url ?? "");
    byPath(incoming, outgoing);
  };
  const server = createServer(
    {
      maxHeaderSize: HEADERS_MAX,
      headersTimeout: limits.headers,
      requestTimeout: limits.request,
      keepAliveTimeout: limits.idle,
      connectionsCheckingInterval: Math.min(1_000, limits.headers),
    },
    listener,
  );
  const connections = new Connections(server);
  server.setTimeout(limits.idle);
  const address = await listenAt(server, options.address);
  // Of accepting, such as too many open files: the next one may be well.
  server.on("error", report);
  const sealer = new Sealer(db, report);

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    health.stop();
    await connections.end(limits.drain);
    log?.flush();
    const close = Promise.all([authenticator.close().catch(() => undefined), sealer.stop()]).then(() =>
      db.close(),
    );
    await within(CLOSE_WITHIN, close, () => undefined);
  };
  return {
    address,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
