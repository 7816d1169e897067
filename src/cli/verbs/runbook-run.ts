import { campaignOutput } from "../campaign-document.ts";
import { readReceiptWords, receiptOptions } from "../campaign-receipt.ts";
import { gateOptions } from "../gate.ts";
import { setOption } from "../runbook-setting.ts";
import { defineVerb } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";

export const runbookRun = defineVerb({
  path: ["runbook", "run"],
  summary: "Rotate as a runbook says; where the environment is protected, ask for it",
  description:
    "Where nothing is protected it begins at once, after the number was typed or under --yes. Where approvals are needed every secret is prepared, and one plan names them all (exit 6); when that is approved, `runbook resume` carries it out, batch by batch.",
  examples: [
    {
      command: "midctl runbook run quarterly-rotation.yaml --key ~/.ssh/id_ed25519",
      does: "asks, in a protected environment",
    },
    {
      command: "midctl runbook run owner-leaves.yaml --set owner=alice@example.com --yes",
      does: "begins at once, where nothing is protected",
    },
  ],
  args: [{ name: "file", summary: "the runbook, YAML" }],
  options: { set: setOption, ...receiptOptions, ...gateOptions },
  output: campaignOutput,
  changes: true,
  async run({ file, set, ...words }, context) {
    const [{ orderOf }, { rotateMany }] = await Promise.all([
      import("../runbook-order.ts"),
      import("../campaign.ts"),
    ]);
    const receipt = readReceiptWords(words);
    return rotateMany(context, { ...orderOf(file, set, context.reason), gate: words, receipt });
  },
  view: viewCampaign,
});
