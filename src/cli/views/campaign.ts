import type { CampaignDocument } from "../campaign-document.ts";
import { type Block, status, type View } from "../view.ts";

/** A campaign: how far it has come, and each target. */
export function viewCampaign({ campaign, results }: CampaignDocument): View {
  const { id, problem, targets, delivered, failed, proven } = campaign;
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [
        { title: "IDENTITY", fixed: true },
        { title: "NEW CREDENTIAL", fixed: true },
        { title: "STATE", fixed: true },
        { title: "USED" },
        { title: "FILE", optional: true },
        { title: "PROBLEM" },
      ],
      rows: results.map((result) => [
        result.identity,
        result.credential,
        status(result.state),
        result.proven ? "yes" : "not yet",
        result.tokenFile,
        result.problem,
      ]),
    },
    {
      kind: "notice",
      text:
        id === null
          ? `${targets} would be rotated; nothing was changed.`
          : `${id} is ${campaign.status}${problem === null ? "" : `: ${problem}`}. ${delivered} of ${targets} have their new secret, ${proven} have used it, and ${failed} failed.`,
    },
  ];
  return blocks;
}
