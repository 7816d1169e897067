import { requireCampaign } from "../../operations/campaign/read.ts";
import { campaignOutput } from "../campaign-document.ts";
import { deliveryOptions } from "../campaign-options.ts";
import { campaignArgument } from "../campaign-reference.ts";
import { duration } from "../options.ts";
import { defineVerb } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";

export const runbookResume = defineVerb({
  path: ["runbook", "resume"],
  summary: "Go on with a campaign that was interrupted, or that stopped",
  description:
    "What has its new secret is left alone; what was begun is finished with the secret that was made for it; what failed is tried again. On the machine where the campaign's files are. Directory and commands are said again: what the database says is never run.",
  examples: [
    { command: "midctl runbook resume rb_7Zk2mPq90aBc --token-file-dir ./secrets", does: "safe to repeat" },
  ],
  args: [campaignArgument],
  options: {
    ...deliveryOptions,
    waitProof: {
      value: "2h",
      summary: "wait so long until every new secret has been used",
      schema: duration,
    },
  },
  output: campaignOutput,
  changes: true,
  async run({ ref, waitProof, ...words }, context) {
    const db = await context.database();
    const campaign = await requireCampaign(db, ref);
    const { describe, goOn, readMeansAgain } = await import("../campaign.ts");
    const means = readMeansAgain(words, campaign);
    if (context.dryRun) return { document: await describe(db, campaign) };
    return goOn(context, db, campaign, means, waitProof);
  },
  view: viewCampaign,
});
