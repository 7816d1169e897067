import { MidctlError } from "../../domain/errors.ts";
import { requireCampaign, requireTerms } from "../../operations/campaign/read.ts";
import type { Campaign } from "../../repository/campaign.ts";
import { campaignOutput } from "../campaign-document.ts";
import { type DeliveryWords, deliveryOptions } from "../campaign-options.ts";
import { readReceiptWords, receiptOptions } from "../campaign-receipt.ts";
import { campaignArgument } from "../campaign-reference.ts";
import { gateOptions } from "../gate.ts";
import { duration } from "../options.ts";
import { defineVerb } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";

export const runbookResume = defineVerb({
  path: ["runbook", "resume"],
  summary: "Go on with a campaign that was interrupted, stopped, or waited for its approval",
  description:
    "What has its new secret is left alone; what was begun is finished with the secret that was made for it; what failed is tried again. On the machine where the campaign's files are. Directory and commands are said again, by flags or by the runbook: what the database says is never run.",
  examples: [
    { command: "midctl runbook resume rb_7Zk2mPq90aBc --token-file-dir ./secrets", does: "safe to repeat" },
    {
      command:
        "midctl runbook resume rb_7Zk2mPq90aBc --runbook quarterly-rotation.yaml --receipt q3.json --key ~/.ssh/id_ed25519",
      does: "as the runbook says, with a signed receipt at the end",
    },
  ],
  args: [campaignArgument],
  options: {
    runbook: {
      value: "FILE",
      summary: "the runbook that it follows, unchanged; says directory and commands",
    },
    ...deliveryOptions,
    waitProof: {
      value: "2h",
      summary: "wait so long until every new secret has been used",
      schema: duration,
    },
    ...receiptOptions,
    key: { ...gateOptions.key, summary: "the SSH key that signs the receipt; a public key's file, or agent" },
  },
  output: campaignOutput,
  changes: true,
  async run({ ref, waitProof, runbook, ...words }, context) {
    const receipt = readReceiptWords(words);
    const said = runbook === undefined ? { words, waitProof, sha256: null } : await wordsOf(runbook, words);
    const db = await context.database();
    const campaign = await requireCampaign(db, ref);
    if (said.sha256 !== null) requireSame(said.sha256, campaign);
    const { describe, goOn, openReceipt } = await import("../campaign.ts");
    const { readMeansAgain } = await import("../campaign-means.ts");
    const means = { ...readMeansAgain(said.words, campaign) };
    if (runbook !== undefined) means.again = `--runbook ${runbook}`;
    if (context.dryRun) return { document: await describe(db, campaign) };
    const writeReceipt = await openReceipt(context, receipt);
    return goOn(context, db, campaign, { means, writeReceipt, waitProof: waitProof ?? said.waitProof });
  },
  view: viewCampaign,
});

/** What a runbook says of delivery; its flags must not be said beside it. */
async function wordsOf(
  path: string,
  words: DeliveryWords,
): Promise<{
  readonly words: DeliveryWords;
  readonly waitProof: number | undefined;
  readonly sha256: string;
}> {
  const both = Object.keys(deliveryOptions).find((key) => words[key as keyof DeliveryWords] !== undefined);
  if (both !== undefined) {
    throw new MidctlError("usage", "the runbook says how secrets are delivered; nothing was changed", {
      hint: "give --runbook, or the flags",
    });
  }
  const [{ readRunbookFile }, { readRunbook }] = await Promise.all([
    import("../runbook-file.ts"),
    import("../runbook.ts"),
  ]);
  // Read once: what is run is what was compared.
  const file = readRunbookFile(path);
  return { ...readRunbook(file, null, null), sha256: file.sha256 };
}

/** @throws MidctlError `conflict` for another runbook than the one that the campaign was begun by */
function requireSame(sha256: string, campaign: Campaign): void {
  const { runbook } = requireTerms(campaign);
  if (runbook?.sha256 === sha256) return;
  throw new MidctlError(
    "conflict",
    runbook === null
      ? `${campaign.id} was begun by flags and by no runbook; nothing was changed.`
      : `${campaign.id} was begun by ${runbook.name}, and this file is not what that was then; nothing was changed.`,
    { hint: "Give the file as it was; or say directory and commands in flags." },
  );
}
