import * as z from "zod/mini";
import { describeServer } from "../../db/target.ts";
import { previewPush, pushDatabase } from "../../operations/db-push.ts";
import { environmentSchema } from "../documents.ts";
import { readWith } from "../parse.ts";
import { describePlace } from "../place.ts";
import { isContext, parseTarget, settleTarget } from "../push-target.ts";
import { requestFrom } from "../request.ts";
import { defineVerb } from "../verb.ts";
import { viewDbPush } from "../views/db-push.ts";
import { placeSchema } from "./status.ts";

export const dbPushOutput = z.object({
  /** Where the data were. */
  place: placeSchema,
  /** Where they are, as a URL without user, password and parameters. */
  target: z.string(),
  /** The context that names it, or null. */
  context: z.nullable(z.string()),
  changed: z.boolean(),
  /** False where an earlier push had copied everything, and only the source was to be marked. */
  copied: z.boolean(),
  /** Migrations that the target lacked. */
  applied: z.readonly(z.array(z.string())),
  environment: environmentSchema,
  holdings: z.object({
    identities: z.number(),
    credentials: z.number(),
    tokens: z.number(),
    events: z.number(),
    entries: z.number(),
  }),
});
export type DbPushDocument = z.infer<typeof dbPushOutput>;

export const dbPush = defineVerb({
  path: ["db", "push"],
  summary: "Move the database to a PostgreSQL server",
  description:
    "For a team that outgrows a laptop. Identities, credentials, tokens, agent events and the log go as they are: every secret works on, and the log is the same to the byte. The target has no midctl schema, or an empty one; it is migrated, filled in one transaction by its owner, and compared with the source, which stands still meanwhile. Then the source is marked as moved and refuses every change, hand-written SQL included, for a revocation in one would not reach the other. A failure leaves the source as it was. Safe to repeat; what was interrupted after the target had everything is finished by the same command. Stop verifiers (midctl serve) first: one that is alive keeps everything. Users and rights of the database do not move.",
  examples: [
    {
      command: "midctl db push postgres://midctl@db.example/midctl --dry-run",
      does: "what would go, and whether it can",
    },
    { command: "midctl db push team --yes", does: "to the context `team`, whose URL may hold a password" },
  ],
  args: [
    {
      name: "target",
      summary: "postgres://user@host/database, read as --database-url is, or a context",
      schema: readWith(parseTarget),
      complete: "context",
    },
  ],
  output: dbPushOutput,
  changes: true,
  async run(input, context) {
    const { settings, url } = settleTarget(context, input.target);
    const target = describeServer({ url });
    const place = describePlace(context);
    const move = {
      source: await context.database(),
      target: await context.otherDatabase(settings, { schema: "any" }),
      place: target,
    };
    const preview = await previewPush(move);
    const document = {
      place,
      target,
      context: isContext(input.target) ? input.target : null,
      changed: preview.target !== "done",
      copied: preview.target === "empty",
      applied: preview.missing,
      environment: preview.environment,
      holdings: { ...preview.holdings },
    };
    if (!document.changed || context.dryRun) return { document };
    await context.confirm({
      action: `move ${place.location} to ${target}`,
      name: preview.environment.name,
    });
    context.standBy("run midctl db push again: it begins anew, or finishes");
    await pushDatabase(move, requestFrom(context));
    return { document: { ...document, environment: { ...preview.environment, movedTo: target } } };
  },
  view: viewDbPush,
});
