/** What a campaign has come to, as it is printed. */
import * as z from "zod/mini";

export const campaignSchema = z.object({
  /** rb_…; null for one that is only planned. */
  id: z.nullable(z.string()),
  status: z.enum(["planned", "running", "stopped", "done"]),
  /** Why it stopped. */
  problem: z.nullable(z.string()),
  /** ap_…: the approval under which it rotates. */
  approval: z.nullable(z.string()),
  startedAt: z.string(),
  startedBy: z.string(),
  changedAt: z.string(),
  targets: z.number(),
  delivered: z.number(),
  failed: z.number(),
  /** Whose new credential has been used. */
  proven: z.number(),
});

export const campaignOutput = z.object({
  campaign: campaignSchema,
  results: z.array(
    z.object({
      identity: z.string(),
      replaces: z.string(),
      credential: z.nullable(z.string()),
      tokenFile: z.nullable(z.string()),
      state: z.enum(["open", "issued", "delivered", "failed"]),
      proven: z.boolean(),
      problem: z.nullable(z.string()),
    }),
  ),
});
export type CampaignDocument = z.infer<typeof campaignOutput>;
