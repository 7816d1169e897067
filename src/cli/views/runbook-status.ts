import type { RunbookStatusDocument } from "../verbs/runbook-status.ts";
import { status, time, type View } from "../view.ts";
import { viewCampaign } from "./campaign.ts";

export function viewRunbookStatus(document: RunbookStatusDocument): View {
  if ("campaign" in document) return viewCampaign(document);
  return [
    {
      kind: "table",
      columns: [
        { title: "CAMPAIGN", fixed: true },
        { title: "STATUS", fixed: true },
        { title: "TARGETS", optional: true },
        { title: "DELIVERED" },
        { title: "FAILED" },
        { title: "USED" },
        { title: "STARTED", optional: true },
        { title: "BY", optional: true },
        { title: "PROBLEM" },
      ],
      rows: document.campaigns.map((campaign) => [
        campaign.id,
        status(campaign.status),
        String(campaign.targets),
        String(campaign.delivered),
        String(campaign.failed),
        String(campaign.proven),
        time(campaign.startedAt),
        campaign.startedBy,
        campaign.problem,
      ]),
    },
  ];
}
