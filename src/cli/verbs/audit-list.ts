import * as z from "zod/mini";
import { parseDuration } from "../../domain/duration.ts";
import { MidctlError } from "../../domain/errors.ts";
import { parseReference } from "../../domain/reference.ts";
import { listAudit } from "../../operations/audit-list.ts";
import { eventSchema } from "../documents.ts";
import { parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditList } from "../views/audit-list.ts";

export const auditListOutput = z.object({
  events: z.readonly(z.array(eventSchema)),
  nextCursor: z.nullable(z.string()),
});
export type AuditListDocument = z.infer<typeof auditListOutput>;

const MAX_LIMIT = 1_000;

export const auditList = defineVerb({
  path: ["audit", "list"],
  summary: "Who did what: the log and the agents' events together, newest first",
  examples: [
    { command: "midctl audit", does: "the latest" },
    {
      command: "midctl audit list --identity codex-019a6f2e --action 'credential.*'",
      does: "one identity's credentials",
    },
  ],
  options: {
    identity: {
      value: "REF",
      summary: "of this identity",
      schema: readWith(parseIdentityReference),
      complete: "identity",
    },
    credential: {
      value: "MC",
      summary: "of this credential",
      schema: readWith(parseCredentialId),
      complete: "credential",
    },
    action: { value: "ACTION", summary: "e.g. identity.pause or credential.*" },
    since: {
      value: "2h",
      summary: "not older than this, or than an RFC 3339 time",
      schema: readWith(parseSince),
    },
    limit: {
      value: "N",
      summary: `rows of a page, 1 to ${MAX_LIMIT}; default: 50`,
      default: "50",
      schema: readWith(parseLimit),
    },
    cursor: { value: "CURSOR", summary: "where the next page begins: nextCursor of the one before" },
  },
  output: auditListOutput,
  list: ["events"],
  async run(input, context) {
    const { since } = input;
    const page = await listAudit(await context.database(), {
      limit: input.limit,
      ...(input.identity === undefined ? {} : { identity: input.identity }),
      ...(input.credential === undefined ? {} : { credential: input.credential }),
      ...(input.action === undefined ? {} : { action: input.action }),
      ...(since === undefined
        ? {}
        : {
            since: typeof since === "string" ? since : new Date(context.now() - since * 1000).toISOString(),
          }),
      ...(input.cursor === undefined ? {} : { cursor: input.cursor }),
    });
    return { document: page };
  },
  view: viewAuditList,
});

function parseCredentialId(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "credential" || reference.kind === "token") return reference.publicId;
  throw new MidctlError("usage", "this takes a credential, mc_…", { hint: "for an identity: --identity" });
}

/** Seconds back from now, or an instant. */
function parseSince(text: string): number | string {
  if (!/^\d{4}-/.test(text)) return parseDuration(text);
  const instant = Date.parse(text);
  if (Number.isNaN(instant) || !/(?:Z|[+-]\d\d:\d\d)$/.test(text)) {
    throw new MidctlError("usage", "this is no RFC 3339 time", {
      hint: "such as 2026-05-01T12:00:00Z, or a duration such as 2h",
    });
  }
  return new Date(instant).toISOString();
}

function parseLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new MidctlError("usage", `a page has 1 to ${MAX_LIMIT} rows`);
}
