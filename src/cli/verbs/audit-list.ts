import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { listAudit } from "../../operations/audit-list.ts";
import { auditFilterOf, auditOptions } from "../audit-options.ts";
import { eventSchema } from "../documents.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditList } from "../views/audit-list.ts";

export const auditListOutput = z.object({
  events: z.readonly(z.array(eventSchema)),
  nextCursor: z.nullable(z.string()),
});
export type AuditListDocument = z.infer<typeof auditListOutput>;

const MAX_LIMIT = 1_000;
/** Events that are not read in a moment. */
const LONG = 100_000;

export const auditList = defineVerb({
  path: ["audit", "list"],
  summary: "Who did what: the log and the agents' events together, newest first",
  description:
    "Every filter narrows further. --grep looks for a literal text in the reason and details of the log, and in the entity and metadata of agents' events; no index helps there, so it reads on, newest first, until a page is full. A page has fewer rows where they come to 32 MiB; of a row of more than 1 MiB it is said how long it is (details.leftOut), and not what is in it.",
  examples: [
    { command: "midctl audit", does: "the latest" },
    {
      command: "midctl audit --identity deploy-bot --descendants --since 2h",
      does: "of an agent and all that it spawned",
    },
    { command: "midctl audit --actor alice --action 'credential.*'", does: "what she did with credentials" },
    { command: "midctl audit --grep INC-4711 --since 30d", does: "what was done for a ticket" },
  ],
  options: {
    ...auditOptions,
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
  paged: true,
  async run({ limit, cursor, ...words }, context) {
    const filter = auditFilterOf(words, context.now());
    let told = 0;
    const document = await listAudit(
      await context.database(),
      { ...filter, limit, ...(cursor === undefined ? {} : { cursor }) },
      (scanned) => {
        if (scanned - told < LONG) return;
        told = scanned;
        context.notice(`${scanned} events read so far.`);
      },
    );
    return { document };
  },
  view: viewAuditList,
});

function parseLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new MidctlError("usage", `a page has 1 to ${MAX_LIMIT} rows`);
}
