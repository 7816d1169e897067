import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { traceReference, traceToken } from "../../operations/audit-trace.ts";
import { effectiveStatusSchema, eventSchema, identitySchema } from "../documents.ts";
import { readToken } from "../token-input.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditTrace } from "../views/audit-trace.ts";

const instant = z.nullable(z.string());

export const auditTraceOutput = z.object({
  /** Null for a legacy token. */
  identity: z.nullable(identitySchema),
  /** By name, and under each name from predecessor to successor. */
  lives: z.readonly(
    z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        effectiveStatus: effectiveStatusSchema,
        expiresAt: instant,
        graceUntil: instant,
        replaces: z.nullable(z.string()),
        replacedBy: z.nullable(z.string()),
        uses: z.object({
          lastUsedAt: instant,
          /** What its bearer did, as the host wrote it down. */
          events: z.number(),
          firstEventAt: instant,
          lastEventAt: instant,
          /** Uses of the right secret that were refused. */
          refused: z.number(),
          lastRefusal: z.nullable(z.object({ code: z.string(), at: z.string() })),
        }),
        /** Oldest first. A request or a vote has the id of its approval, and no index. */
        steps: z.readonly(z.array(eventSchema)),
        /** There are more than 200 steps, and these are the first. */
        cut: z.boolean(),
      }),
    ),
  ),
  /** The identity has more than 50 credentials, and these are the latest. */
  cut: z.boolean(),
});
export type AuditTraceDocument = z.infer<typeof auditTraceOutput>;

export const auditTrace = defineVerb({
  path: ["audit", "trace"],
  summary: "The life of a credential as a timeline, from its request to its last use",
  description:
    "Who asked for it, who approved, its issue, its first use, pauses (its identity's too), what it replaced and what replaced it, its end, and what its bearer did first and last. Of an identity: the same for each of its credentials, in order of succession. Looking is not a use.",
  examples: [
    { command: "midctl audit trace mc_4fK2mQ9sT1xZ", does: "one credential" },
    { command: "midctl audit trace deploy-bot", does: "all credentials of an identity" },
    {
      command: "midctl audit trace --token-stdin < found",
      does: "whatever a token that turned up belongs to",
    },
  ],
  args: [
    { name: "ref", summary: "mc_…, at_…, or an identity's slug", optional: true, complete: "credential" },
  ],
  options: {
    tokenStdin: { summary: "trace the credential of the token on standard input; looking is not a use" },
  },
  output: auditTraceOutput,
  list: ["lives"],
  paged: true,
  async run({ ref, tokenStdin }, context) {
    if (tokenStdin === (ref !== undefined)) {
      throw new MidctlError(
        "usage",
        tokenStdin
          ? "--token-stdin takes no REF; nothing was read"
          : "REF is missing: a credential, a token or an identity; nothing was read",
        { hint: "midctl audit trace mc_…, or midctl audit trace --token-stdin < FILE" },
      );
    }
    if (ref !== undefined) return { document: await traceReference(await context.database(), ref) };
    const token = await readToken(context);
    return { document: await traceToken(await context.database(), token) };
  },
  view: viewAuditTrace,
});
