import { requireCampaign } from "../../operations/campaign/run.ts";
import { campaignOutput } from "../campaign-document.ts";
import { campaignArgument } from "../campaign-reference.ts";
import { duration } from "../options.ts";
import { defineVerb } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";

export const runbookResume = defineVerb({
  path: ["runbook", "resume"],
  summary: "Go on with a campaign that was interrupted, or that stopped",
  description:
    "What has its new secret is left alone; what was begun is finished with the secret that was made for it; what failed is tried again. On the machine where the campaign's files are.",
  examples: [{ command: "midctl runbook resume rb_7Zk2mPq90aBc", does: "safe to repeat" }],
  args: [campaignArgument],
  options: {
    waitProof: {
      value: "2h",
      summary: "wait so long until every new secret has been used",
      schema: duration,
    },
  },
  output: campaignOutput,
  changes: true,
  async run({ ref, waitProof }, context) {
    const db = await context.database();
    const campaign = await requireCampaign(db, ref);
    const { describe, goOn } = await import("../campaign.ts");
    if (context.dryRun) return { document: await describe(db, campaign) };
    return goOn(context, db, campaign, waitProof);
  },
  view: viewCampaign,
});
