/** The Model Context Protocol: what agents may ask of midctl themselves. */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import * as z from "zod/mini";
import { MidctlError } from "../domain/errors.ts";
import { MAX_ACTIVITY, type RecentActivity, readRecentActivity } from "../operations/agent-events.ts";
import { within } from "../operations/patience.ts";
import { answerError, type Services } from "./exchange.ts";

const DEFAULT_ACTIVITY = 50;

export interface ActivityRequest {
  readonly limit: number;
  readonly before?: string | undefined;
}

const activityInput = {
  limit: z._default(
    z.int().check(z.gte(1), z.lte(MAX_ACTIVITY), z.describe(`how many events, 1 to ${MAX_ACTIVITY}`)),
    DEFAULT_ACTIVITY,
  ),
  before: z.optional(
    z.string().check(z.maxLength(64), z.describe("an event's id, ev_…: only what came before it")),
  ),
};

const instant = z.nullable(z.string());

const activityOutput = {
  agentAudit: z.array(
    z.object({
      id: z.string(),
      at: z.string(),
      action: z.string(),
      entityType: z.nullable(z.string()),
      entityId: z.nullable(z.string()),
      metadata: z.nullable(z.string()),
      metadataLeftOut: z.nullable(
        z.number().check(z.describe("bytes of metadata that is too large to be shown")),
      ),
      displayName: z.nullable(z.string()),
      token: z.nullable(
        z.object({
          id: z.string(),
          name: z.string(),
          prefix: z.string(),
          scopes: z.array(z.string()),
          createdAt: z.string(),
          expiresAt: instant,
          lastUsedAt: instant,
          revokedAt: instant,
        }),
      ),
      machineIdentity: z.nullable(
        z.object({
          id: z.string(),
          slug: z.string(),
          displayName: z.string(),
          kind: z.enum(["service", "thread"]),
          owner: z.string(),
          credential: z.nullable(z.string()),
        }),
      ),
    }),
  ),
  nextBefore: z.nullable(z.string()),
};

/**
 * One session's server. `readActivity` decides on its own behalf whose workspace is read; what it throws as `usage` or
 * `denied` is told to the agent, and nothing else is.
 */
export function createMcpServer(
  version: string,
  readActivity: (request: ActivityRequest) => Promise<RecentActivity>,
): McpServer {
  const server = new McpServer({ name: "midctl", version });
  server.registerTool(
    "get_recent_activity",
    {
      title: "Recent activity",
      description:
        "What agents did lately in this token's workspace, newest first: each event with the machine identity behind it. A page may end before `limit`: give `nextBefore` as `before` to go on.",
      inputSchema: activityInput,
      outputSchema: activityOutput,
      annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
    },
    async (request) => {
      try {
        const activity = await readActivity(request);
        return {
          content: [{ type: "text", text: JSON.stringify(activity) }],
          structuredContent: { ...activity },
        };
      } catch (error) {
        return { content: [{ type: "text", text: explain(error) }], isError: true };
      }
    },
  );
  return server;
}

function explain(error: unknown): string {
  if (error instanceof MidctlError && (error.code === "usage" || error.code === "denied")) {
    return error.hint === null ? error.message : `${error.message} ${error.hint}`;
  }
  return "The database cannot be asked now. Try again later.";
}

/**
 * Answers one request of Streamable HTTP, in JSON and without a session: each stands alone, for the token that it came
 * with.
 * @param message the body, taken apart
 * @param done called when nothing is done for it any more, which may be after it was answered
 */
export async function answerMessage(
  { db, version, answerWithin }: Services,
  token: string,
  request: Request,
  message: unknown,
  done: () => void,
): Promise<Response> {
  const reads: Promise<unknown>[] = [];
  const server = createMcpServer(version, (wish) => {
    const read = readRecentActivity(db, { token, ...wish });
    reads.push(read);
    return read;
  });
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  try {
    await server.connect(transport);
    const answer = transport.handleRequest(request, { parsedBody: message });
    // A request that is cancelled is never answered by the SDK, and would be waited for without end.
    return await within(answerWithin, answer, () => answerError(504, "timed_out"));
  } finally {
    void Promise.allSettled(reads).then(done);
    await server.close();
  }
}
