import type { Context } from "hono";
import type { Database } from "../db/database.ts";
import { grants } from "../domain/scope.ts";
import type { Authenticator } from "../operations/authenticate.ts";
import { answerTo, authenticateHeader, type HeaderAnswer } from "../operations/bearer.ts";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import type { Turns } from "./turns.ts";

/** What the routes work with. */
export interface Services {
  readonly db: Database;
  readonly authenticator: Authenticator;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly version: string;
  /** Who may be answered at /mcp: what agents ask there costs a thousand times a decision. */
  readonly turns: Turns;
  /** How long an agent waits for a tool at most, ms. */
  readonly answerWithin: number;
}

/** What is known of one request when it is over, for the access log. Handlers fill it in. */
export interface Exchange {
  /** A path that the server has; anything else that was asked for may hold a secret, and is not written down. */
  route: string | null;
  /** Slug of the machine identity, or `at_…`. */
  actor: string | null;
  /** `performance.now()` when it came. */
  readonly started: number;
}

export function beginExchange(): Exchange {
  return { route: null, actor: null, started: performance.now() };
}

/** The context of a handler: its `env` is the exchange. */
export type RequestContext = Context<{ Bindings: Exchange }>;

/**
 * Decides on a request's own bearer, which has to be granted every one of `scopes`: counted, timed, and noted.
 * @param header every value of Authorization that there was
 */
export function identify(
  { authenticator, metrics }: Services,
  exchange: Exchange,
  header: string | readonly string[] | null,
  scopes: readonly string[] = NO_SCOPES,
): Promise<HeaderAnswer> {
  const [scope, ...others] = scopes;
  const options = scope === undefined ? undefined : { scope };
  return authenticateHeader(authenticator, header, options).then((answer) => {
    const judged = others.length === 0 ? answer : demandScopes(answer, others);
    metrics.decided(judged.status, performance.now() - exchange.started);
    if (judged.decision.ok) exchange.actor = judged.decision.actor.slug;
    return judged;
  });
}

const NO_SCOPES: readonly string[] = [];

function demandScopes(answer: HeaderAnswer, scopes: readonly string[]): HeaderAnswer {
  const { decision } = answer;
  if (!decision.ok || scopes.every((scope) => grants(decision.scopes, scope))) return answer;
  return answerTo({ ok: false, code: "scope_missing" });
}

/** As `identify`, of a request that has come by Hono. */
export function identifyCaller(
  services: Services,
  c: RequestContext,
  scopes?: readonly string[],
): Promise<HeaderAnswer> {
  return identify(services, c.env, c.req.raw.headers.get("authorization"), scopes);
}

/** The uniform answer to a bearer that did not pass. */
export function refuse({ status, headers, body }: HeaderAnswer): Response {
  return new Response(body, { status, headers });
}

/** An error as JSON: a word for programs, and where it helps a sentence for people. */
export function answerError(
  status: number,
  error: string,
  headers: Readonly<Record<string, string>> = {},
  description?: string,
): Response {
  const document = description === undefined ? { error } : { error, error_description: description };
  return answerJson(document, status, headers);
}

export function answerJson(
  document: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(document), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}
