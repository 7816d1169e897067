import { referenceOf } from "../operations/agent-events.ts";
import { BODY_MAX, readBody } from "./body.ts";
import {
  answerError,
  answerJson,
  identifyCaller,
  type RequestContext,
  refuse,
  type Services,
} from "./exchange.ts";

/** `/mcp`: who may speak at all is settled here; the SDK, which takes longer to load than all the rest, comes after. */
export async function answerMcp(services: Services, c: RequestContext): Promise<Response> {
  c.env.route = "/mcp";
  // Agents are no browsers. The protocol demands a check of Origin, against rebound names.
  if (!isLocalOrigin(c.req.header("origin"))) return answerError(403, "forbidden_origin");
  const answer = await identifyCaller(services, c);
  const { decision } = answer;
  if (!decision.ok) return refuse(answer);
  if (c.req.method !== "POST") return answerError(405, "method_not_allowed", { allow: "POST" });
  const body = await readBody(c.req.raw);
  if ("problem" in body) {
    return body.problem === "too_long"
      ? answerProtocolError(413, SERVER_ERROR, `The body is longer than ${BODY_MAX} bytes`)
      : answerProtocolError(400, PARSE_ERROR, "The body broke off");
  }
  const message = parseJson(body.text);
  // Later revisions of the protocol have no batches, and a small one can ask for much.
  if (Array.isArray(message) && message.filter(isRequest).length > 1) {
    return answerProtocolError(400, INVALID_REQUEST, "A body is to hold one request");
  }
  const token = referenceOf(decision);
  const turn = services.turns.take(token);
  if (turn === "key") return answerError(429, "too_many_requests", { "retry-after": "1" });
  if (turn === "all") return answerError(503, "busy", { "retry-after": "1" });
  const done = await turn;
  try {
    const { answerMessage } = await import("./mcp.ts");
    return await answerMessage(services, token, c.req.raw, message, done);
  } catch (error) {
    done();
    throw error;
  }
}

/** JSON-RPC 2.0 §5.1; the last is the SDK's for what HTTP is in the way of. */
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const SERVER_ERROR = -32_000;

/** As the SDK says it. */
function answerProtocolError(status: number, code: number, message: string): Response {
  return answerJson({ jsonrpc: "2.0", error: { code, message }, id: null }, status);
}

/** null, which is no message, for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isRequest(message: unknown): boolean {
  return typeof message === "object" && message !== null && "method" in message && "id" in message;
}

function isLocalOrigin(origin: string | undefined): boolean {
  return origin === undefined || /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin);
}
