/** Token introspection (RFC 7662), for resource servers that speak HTTP and not SQL. */
import { answerTo } from "../operations/bearer.ts";
import type { Accepted } from "../operations/decide.ts";
import { BODY_MAX, readBody } from "./body.ts";
import {
  answerError,
  answerJson,
  identifyCaller,
  type RequestContext,
  refuse,
  type Services,
} from "./exchange.ts";
import { joinScopes } from "./header-value.ts";

/** What the caller's own token must be granted. */
export const INTROSPECT_SCOPE = "midctl:introspect";
const CALLER_SCOPES = [INTROSPECT_SCOPE];

/**
 * Decides on the token in a form, for a caller who is authenticated first (§2.1: "MUST also require some form of
 * authorization"). A good token is used by this, as by any resource server. Of any other the caller learns one thing,
 * `{"active":false}` (§2.2: no reason is to be given).
 */
export async function answerIntrospection(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/introspect";
  const caller = await identifyCaller(services, c, CALLER_SCOPES);
  if (!caller.decision.ok) return refuse(caller);

  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded") {
    return answerError(400, "invalid_request", {}, "the body is to be application/x-www-form-urlencoded");
  }
  const body = await readBody(c.req.raw);
  if ("problem" in body) {
    return body.problem === "too_long"
      ? answerError(413, "invalid_request", {}, `the body is longer than ${BODY_MAX} bytes`)
      : answerError(400, "invalid_request", {}, "the body broke off");
  }
  // RFC 6749 §3.1: a parameter that comes twice makes the request malformed, and an empty one counts as left out.
  const [token, ...more] = new URLSearchParams(body.text).getAll("token");
  if (token === undefined || token === "" || more.length > 0) {
    return answerError(400, "invalid_request", {}, "the form is to hold `token` once");
  }

  const started = performance.now();
  const decision = await services.authenticator.authenticate(token);
  const { status } = answerTo(decision);
  services.metrics.decided(status, performance.now() - started);
  if (status === 503) return answerError(503, "unavailable", { "retry-after": "2" });
  return answerJson(decision.ok ? describeToken(decision) : { active: false });
}

/** §2.2, with one member of our own beside the registered ones. Instants are whole seconds since 1970, rounded down. */
export function describeToken(decision: Accepted): Record<string, unknown> {
  const { actor, identity, credential, scopes, expiresAt } = decision;
  return {
    active: true,
    scope: joinScopes(scopes),
    client_id: actor.slug,
    username: actor.displayName,
    token_type: "Bearer",
    ...(expiresAt === null ? {} : { exp: toSeconds(expiresAt) }),
    ...(credential === null ? {} : { iat: toSeconds(credential.issuedAt) }),
    sub: identity?.publicId ?? actor.slug,
    midctl: {
      actor,
      identity: identity?.publicId ?? null,
      kind: identity?.kind ?? null,
      provider: identity?.provider ?? null,
      threadId: identity?.threadId ?? null,
      parent: identity?.parent ?? null,
      labels: identity?.labels ?? {},
      workspace: decision.workspace,
      credential: credential?.id ?? null,
      status: credential?.effectiveStatus ?? "active",
    },
  };
}

function toSeconds(instant: string): number {
  return Math.floor(Date.parse(instant) / 1_000);
}
