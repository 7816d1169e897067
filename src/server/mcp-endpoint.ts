import { referenceOf } from "../operations/agent-events.ts";
import { answerError, identifyCaller, type RequestContext, refuse, type Services } from "./exchange.ts";

/** `/mcp`: who may speak at all is settled here; the SDK, which takes longer to load than all the rest, comes after. */
export async function answerMcp(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/mcp";
  // Agents are no browsers. The protocol demands a check of Origin, against rebound names.
  if (!isLocalOrigin(c.req.header("origin"))) return answerError(403, "forbidden_origin");
  const answer = await identifyCaller(services, c);
  const { decision } = answer;
  if (!decision.ok) return refuse(answer);
  if (c.req.method !== "POST") return answerError(405, "method_not_allowed", { allow: "POST" });
  const { answerMessage } = await import("./mcp.ts");
  return answerMessage(services, referenceOf(decision), c.req.raw);
}

function isLocalOrigin(origin: string | undefined): boolean {
  return origin === undefined || /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin);
}
