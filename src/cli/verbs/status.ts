import * as z from "zod/mini";
import { readStatus } from "../../operations/status.ts";
import { credentialSchema, environmentSchema, serverSchema, witnessedSchema } from "../documents.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewStatus } from "../views/status.ts";

export const placeSchema = z.object({
  kind: z.enum(["embedded", "server"]),
  location: z.string(),
  source: z.string(),
});

export const statusOutput = z.object({
  place: placeSchema,
  environment: environmentSchema,
  server: serverSchema,
  counts: z.object({
    identities: z.record(z.string(), z.number()),
    credentials: z.record(z.string(), z.number()),
    legacyTokens: z.number(),
  }),
  expiring: z.readonly(z.array(credentialSchema)),
  moreExpiring: z.boolean(),
  verifiers: z.number(),
  refusedUses: z.readonly(
    z.array(
      z.object({
        ref: z.string(),
        identity: z.nullable(z.string()),
        code: z.string(),
        uses: z.number(),
        firstAt: z.string(),
        lastAt: z.string(),
      }),
    ),
  ),
  openApprovals: z.number(),
  uncountersigned: z.number(),
  log: z.nullable(witnessedSchema),
});
export type StatusDocument = z.infer<typeof statusOutput>;

export const status = defineVerb({
  path: ["status"],
  summary: "Where the data are, what there is, and what ends soon",
  examples: [
    { command: "midctl status", does: "the place, the environment, counts, and what ends within a week" },
  ],
  output: statusOutput,
  async run(_input, context) {
    const report = await readStatus(await context.database());
    return { document: { place: describePlace(context), ...report, counts: { ...report.counts } } };
  },
  view: viewStatus,
});
