/** For servers built with Hono: `midctl/hono`. */
import type { MiddlewareHandler } from "hono";
import { authenticateHeader, type HeaderAuthenticator } from "./operations/bearer.ts";
import type { Accepted } from "./operations/decide.ts";

/** What the middleware leaves in the context: `c.get("midctl").actor`. */
export interface MidctlVariables {
  readonly midctl: Accepted;
}

/**
 * Lets a request pass whose bearer is good, and may do `scope` where one is asked for; answers every other with the one
 * uniform 401, and with 503 where the database cannot be asked.
 */
export function midctlAuth(
  authenticator: HeaderAuthenticator,
  options?: { readonly scope?: string },
): MiddlewareHandler<{ Variables: MidctlVariables }> {
  return async (c, next) => {
    // Fetch's Headers join what was sent twice by a comma, which no token has.
    const header = c.req.header("authorization");
    const { decision, status, headers, body } = await authenticateHeader(authenticator, header, options);
    if (!decision.ok) return new Response(body, { status, headers });
    c.set("midctl", decision);
    await next();
  };
}
