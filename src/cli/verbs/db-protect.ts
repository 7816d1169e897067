import * as z from "zod/mini";
import { formatDuration } from "../../domain/duration.ts";
import { draftProtection, protectEnvironment, rehearseProtection } from "../../operations/db-protect.ts";
import { DEFAULT_LIFE } from "../../operations/issuance.ts";
import { requireEnvironment } from "../../operations/lookup.ts";
import { ask } from "../ask.ts";
import { environmentSchema } from "../documents.ts";
import { gateOptions } from "../gate.ts";
import { duration } from "../options.ts";
import { describePlace } from "../place.ts";
import { requestFrom } from "../request.ts";
import { refuseEmbedded, requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewDbProtect } from "../views/db-protect.ts";
import { placeSchema } from "./status.ts";

export const dbProtectOutput = z.object({
  place: placeSchema,
  changed: z.boolean(),
  environment: environmentSchema,
});
export type DbProtectDocument = z.infer<typeof dbProtectOutput>;

export const dbProtect = defineVerb({
  path: ["db", "protect"],
  summary: "Bring a running environment under approvals, for good",
  description:
    "Where tokens are in force, one plan lists them all, and owners approve it: verifiers with a trust root go on accepting these and nothing else. A token without an end gets one. Whatever is issued between request and execution is missing from the plan, which then does nothing: request it anew. It cannot be undone.",
  examples: [
    {
      command: "midctl db protect --key ~/.ssh/id_ed25519 --reason 'going live'",
      does: "requests the approval",
    },
    { command: "midctl db protect --dry-run", does: "what it would cover" },
  ],
  options: {
    expires: {
      value: "90d",
      summary: `the life of tokens that have no end; default: ${formatDuration(DEFAULT_LIFE)}`,
      schema: duration,
    },
    ...gateOptions,
  },
  output: dbProtectOutput,
  changes: true,
  async run(input, context) {
    const place = describePlace(context);
    refuseEmbedded(place);
    requireTrustRoot(context);
    const db = await context.database();
    const environment = await requireEnvironment(db);
    if (environment.protected) return { document: { place, changed: false, environment } };
    const request = requestFrom(context);
    const drafts = await draftProtection(db, input.expires ?? DEFAULT_LIFE);
    const tried = await rehearseProtection(db, request, drafts);
    if (context.dryRun) return { document: { place, ...tried } };
    if (drafts.length > 0) return ask(context, db, input, "environment.protect", drafts);
    await context.confirm({ action: `protect ${environment.name} for good`, name: environment.name });
    return { document: { place, ...(await protectEnvironment(db, request, [])) } };
  },
  view: viewDbProtect,
});
