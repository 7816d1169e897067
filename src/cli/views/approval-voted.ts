import type { VotedDocument } from "../verbs/approval-approve.ts";
import type { View } from "../view.ts";

export function viewVoted({ changed, principal, signed, campaign, approval }: VotedDocument): View {
  const { id, status } = approval;
  const next =
    status === "approved"
      ? ` It can be carried out: midctl ${campaign === null ? `approval apply ${id}` : `runbook resume ${campaign}, with the --token-file-dir or --runbook that it was asked for with`}`
      : status === "open"
        ? " It waits for more approvals."
        : "";
  const by = signed ? principal : `unsigned, ${principal} by their own word`;
  const said = changed
    ? status === "rejected" && !signed
      ? `; ${by}`
      : `, by ${principal}`
    : `: ${principal} had said so already`;
  return [{ kind: "line", words: true, cells: [`${id} is ${status}${said}.${next}`] }];
}
