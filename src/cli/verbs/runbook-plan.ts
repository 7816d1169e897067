import { campaignOutput } from "../campaign-document.ts";
import { setOption } from "../runbook-setting.ts";
import { defineVerb } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";

export const runbookPlan = defineVerb({
  path: ["runbook", "plan"],
  summary: "Show whom a runbook would rotate, and where each secret would go",
  description:
    "Changes nothing, prepares no secret and asks for nothing. Where approvals are needed each rotation is tried, rolled back, so that what stands in the way is known before anybody is asked.",
  examples: [{ command: "midctl runbook plan quarterly-rotation.yaml", does: "who, and into which file" }],
  args: [{ name: "file", summary: "the runbook, YAML" }],
  options: { set: setOption },
  output: campaignOutput,
  async run({ file, set }, context) {
    const [{ orderOf }, { foretell }] = await Promise.all([
      import("../runbook-order.ts"),
      import("../campaign.ts"),
    ]);
    return {
      document: await foretell(context, await context.database(), orderOf(file, set, context.reason)),
    };
  },
  view: viewCampaign,
});
