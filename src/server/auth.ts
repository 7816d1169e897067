/** Forward-auth: what nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth` ask before they let pass. */
import { parseScope } from "../domain/scope.ts";
import type { Accepted } from "../operations/decide.ts";
import { answerError, identify, NO_SCOPES, type RequestContext, refuse, type Services } from "./exchange.ts";
import { encodeHeader } from "./header-value.ts";

/** 200 with the actor in headers, or the uniform 401. `?scope=` asks for a scope; given several times, for each. */
export async function answerAuth(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/auth";
  const scopes = scopesIn(c.req.url);
  if (scopes === null) {
    return answerError(400, "invalid_scope", {}, "scope is 1 to 128 printable ASCII characters");
  }
  const answer = await identify(services, c, scopes);
  const { decision } = answer;
  return decision.ok ? new Response(null, { headers: headersOf(decision) }) : refuse(answer);
}

/** What a query demands, by the query's text: a host's configuration has a handful of them. */
const demands = new Map<string, readonly string[] | null>();
const DEMANDS_MAX = 256;

/**
 * The scopes that a URL's query asks for; null where one is none. Only an operator writes it: an empty variable in a
 * proxy's configuration must not pass for no demand.
 */
function scopesIn(url: string): readonly string[] | null {
  const mark = url.indexOf("?");
  if (mark < 0) return NO_SCOPES;
  const query = url.slice(mark + 1);
  let scopes = demands.get(query);
  if (scopes === undefined) {
    const asked = new URLSearchParams(query).getAll("scope");
    scopes = asked.every(isScope) ? asked : null;
    if (demands.size >= DEMANDS_MAX) demands.clear();
    demands.set(query, scopes);
  }
  return scopes;
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
    "x-midctl-identity": actor.slug,
    "x-midctl-display-name": encodeHeader(actor.displayName),
    "x-midctl-owner": actor.owner === null ? "" : encodeHeader(actor.owner),
    "x-midctl-credential": credential?.id ?? "",
    "x-midctl-kind": identity?.kind ?? "legacy_token",
    "x-midctl-scopes": decision.scopes.join(" "),
    "cache-control": "no-store",
    "content-length": "0",
  };
}

function isScope(text: string): boolean {
  try {
    parseScope(text);
    return true;
  } catch {
    return false;
  }
}
