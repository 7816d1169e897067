import * as z from "zod/mini";
import { listCampaigns, requireCampaign } from "../../operations/campaign/read.ts";
import { campaignOutput, campaignSchema } from "../campaign-document.ts";
import { campaignArgument } from "../campaign-reference.ts";
import { defineVerb } from "../verb.ts";
import { viewRunbookStatus } from "../views/runbook-status.ts";

export const runbookStatusOutput = z.union([
  campaignOutput,
  z.object({ campaigns: z.array(campaignSchema) }),
]);
export type RunbookStatusDocument = z.infer<typeof runbookStatusOutput>;

export const runbookStatus = defineVerb({
  path: ["runbook", "status"],
  summary: "How far campaigns have come; of one, every target",
  examples: [
    { command: "midctl runbook status", does: "the newest" },
    { command: "midctl runbook status rb_7Zk2mPq90aBc", does: "who has moved, and who has not" },
  ],
  args: [{ ...campaignArgument, optional: true }],
  output: runbookStatusOutput,
  async run({ ref }, context) {
    const db = await context.database();
    if (ref !== undefined) {
      const { describe } = await import("../campaign.ts");
      return { document: await describe(db, await requireCampaign(db, ref)) };
    }
    const campaigns = await listCampaigns(db);
    return { document: { campaigns: campaigns.map(({ terms: _, ...campaign }) => campaign) } };
  },
  view: viewRunbookStatus,
});
