/** For servers built with Hono: `midctl/hono`. */
import type { MiddlewareHandler } from "hono";
import { MidctlError } from "./domain/errors.ts";
import { authenticateHeader, type HeaderAuthenticator } from "./operations/bearer.ts";
import type { Accepted } from "./operations/decide.ts";
import { type Demand, MISTAKEN, readDemand } from "./operations/demand.ts";

/** What the middleware leaves in the context: `c.get("midctl").actor`. */
export interface MidctlVariables {
  readonly midctl: Accepted;
}

/**
 * Lets a request pass whose bearer is good, and may do `scope` where one is asked for; answers every other with the one
 * uniform 401, and with 503 where the database cannot be asked.
 * @throws MidctlError `usage` for options that cannot be understood: an undefined scope is no lack of a demand
 */
export function midctlAuth(
  authenticator: HeaderAuthenticator,
  options?: Demand,
): MiddlewareHandler<{ Variables: MidctlVariables }> {
  const scope = readDemand(options);
  if (scope === MISTAKEN) {
    throw new MidctlError("usage", "The options are no demand; nothing would pass.", {
      hint: 'Give { scope: "cards:read" }, or no options where any good token may pass.',
    });
  }
  const demand = scope === null ? undefined : { scope };
  return async (c, next) => {
    // Fetch's Headers join what was sent twice by a comma, which no token has.
    const header = c.req.header("authorization");
    const { decision, status, headers, body } = await authenticateHeader(authenticator, header, demand);
    if (!decision.ok) return new Response(body, { status, headers });
    c.set("midctl", decision);
    await next();
  };
}
