import type { VotedDocument } from "../verbs/approval-approve.ts";
import type { View } from "../view.ts";

export function viewVoted({ changed, principal, approval }: VotedDocument): View {
  const { id, status } = approval;
  const next =
    status === "approved"
      ? ` It can be carried out: midctl approval apply ${id}`
      : status === "open"
        ? " It waits for more approvals."
        : "";
  return [
    {
      kind: "line",
      cells: [
        `${id} is ${status}${changed ? `, by ${principal}` : `: ${principal} had said so already`}.${next}`,
      ],
    },
  ];
}
