import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { followAudit } from "../../operations/audit-follow.ts";
import { auditFilterOf, auditOptions } from "../audit-options.ts";
import { eventSchema } from "../documents.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditFollow } from "../views/audit-follow.ts";

export const auditFollowOutput = z.object({ events: z.readonly(z.array(eventSchema)) });
export type AuditFollowDocument = z.infer<typeof auditFollowOutput>;

/** A network that swallows packets is noticed, ms. */
const POOL = { max: 2, patience: 10_000 };

const { until: _, ...filters } = auditOptions;

export const auditFollow = defineVerb({
  path: ["audit", "follow"],
  summary: "Print what is done as it is committed, until it is interrupted",
  description:
    "Off a terminal, and with --json, one event a line. Each entry of the log comes once, in the log's order; each event of an agent once, as its transaction commits. A database that is restarted, restored or cannot be reached is waited for, and nothing that was committed meanwhile is left out. Where the log was restored from before, it ends with exit 5 once that is done.",
  examples: [
    { command: "midctl audit follow", does: "from now on" },
    {
      command: "midctl audit follow --action 'credential.*' --since 1h",
      does: "with what the last hour brought",
    },
    { command: "midctl audit follow --from log_4711 >> audit.ndjson", does: "go on where a file of it ends" },
  ],
  options: {
    ...filters,
    from: {
      value: "LOG_N",
      summary: "from this entry on, and from its time on what agents did",
      schema: readWith(parseEntry),
    },
  },
  output: auditFollowOutput,
  list: ["events"],
  endless: true,
  async run({ from, ...words }, context) {
    const filter = auditFilterOf({ ...words, until: undefined }, context.now());
    if (from !== undefined && filter.since !== undefined) {
      throw new MidctlError("usage", "--from and --since both say where to begin; nothing was followed", {
        hint: "give one of them",
      });
    }
    const db = await context.database({ pool: POOL });
    const batches = followAudit(
      db,
      { ...filter, ...(from === undefined ? {} : { from }) },
      {
        onBegun: () => context.debug("follow"),
        onLost: ({ code, message }) =>
          context.notice(
            code === "unavailable"
              ? "The connection to the database is lost; it is tried until it is back."
              : `${message} It is tried until it is restored.`,
          ),
        onBack: () => context.notice("Connected again; nothing is left out."),
      },
    );
    return { pages: asPages(batches) };
  },
  view: viewAuditFollow,
});

async function* asPages(
  batches: AsyncIterable<AuditFollowDocument["events"]>,
): AsyncGenerator<AuditFollowDocument> {
  for await (const events of batches) yield { events };
}

function parseEntry(text: string): number {
  const index = /^log_(\d{1,15})$/.exec(text)?.[1];
  if (index !== undefined) return Number(index);
  throw new MidctlError("usage", "this takes an entry of the log", { hint: "log_4711, the id of an event" });
}
