/** Forward-auth: what nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth` ask before they let pass. */
import { isScope } from "../domain/scope.ts";
import type { Accepted } from "../operations/decide.ts";
import { type Exchange, identify, type RequestContext, type Services } from "./exchange.ts";
import { encodeHeader, encodeScopes } from "./header-value.ts";

/** An answer as HTTP has it. */
export interface AuthAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/**
 * 200 with the actor in headers, or the uniform 401. `?scope=` asks for a scope; given several times, for each. 400 for
 * a query with anything else in it.
 * @param url with its query
 * @param header every value of Authorization that there was
 */
export function decideAuth(
  services: Services,
  exchange: Exchange,
  url: string,
  header: string | readonly string[] | null,
): Promise<AuthAnswer> {
  exchange.route = "/auth";
  const scopes = scopesIn(url);
  if (!Array.isArray(scopes)) return Promise.resolve(scopes);
  return identify(services, exchange, header, scopes).then((answer) =>
    answer.decision.ok ? { status: 200, headers: headersOf(answer.decision), body: null } : answer,
  );
}

const INVALID_SCOPE = refuseQuery("invalid_scope", "scope is 1 to 128 printable ASCII characters");
const INVALID_QUERY = refuseQuery("invalid_request", "the query is to hold nothing but scope");

function refuseQuery(error: string, description: string): AuthAnswer {
  return {
    status: 400,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
    body: JSON.stringify({ error, error_description: description }),
  };
}

export async function answerAuth(services: Services, c: RequestContext): Promise<Response> {
  const header = c.req.raw.headers.get("authorization");
  const { status, headers, body } = await decideAuth(services, c.env, c.req.url, header);
  return new Response(body, { status, headers });
}

/** What a query demands, by the query's text: a host's configuration has a handful of them. */
const demands = new Map<string, string[] | AuthAnswer>();
const DEMANDS_MAX = 256;

/**
 * The scopes that a URL's query asks for, or the refusal of a query that cannot be meant. Only an operator writes it: an
 * empty variable or a slip in a proxy's configuration (`scopes=`, `Scope=`) must not pass for no demand.
 */
function scopesIn(url: string): string[] | AuthAnswer {
  const mark = url.indexOf("?");
  if (mark < 0) return NOTHING_ASKED;
  const query = url.slice(mark + 1);
  let scopes = demands.get(query);
  if (scopes === undefined) {
    scopes = readQuery(query);
    if (demands.size >= DEMANDS_MAX) demands.clear();
    demands.set(query, scopes);
  }
  return scopes;
}

const NOTHING_ASKED: string[] = [];

function readQuery(query: string): string[] | AuthAnswer {
  const asked = [...new URLSearchParams(query)];
  if (asked.some(([name]) => name !== "scope")) return INVALID_QUERY;
  const scopes = asked.map(([, scope]) => scope);
  return scopes.every(isScope) ? scopes : INVALID_SCOPE;
}

/** An answer that the verifier keeps is the same object each time, and so are its headers. */
const known = new WeakMap<Accepted, Readonly<Record<string, string>>>();

function headersOf(decision: Accepted): Readonly<Record<string, string>> {
  let headers = known.get(decision);
  if (headers === undefined) {
    headers = describeActor(decision);
    known.set(decision, headers);
  }
  return headers;
}

/**
 * Every one of them on every 200, empty where there is nothing to say: a proxy that copies them then overwrites whatever
 * a client had sent under these names.
 */
export function describeActor(decision: Accepted): Record<string, string> {
  const { actor, identity, credential } = decision;
  return {
    "x-midctl-identity": encodeHeader(actor.slug),
    "x-midctl-display-name": encodeHeader(actor.displayName),
    "x-midctl-owner": actor.owner === null ? "" : encodeHeader(actor.owner),
    "x-midctl-credential": credential?.id ?? "",
    "x-midctl-kind": identity?.kind ?? "legacy_token",
    "x-midctl-scopes": encodeScopes(decision.scopes),
    "cache-control": "no-store",
    "content-length": "0",
  };
}
