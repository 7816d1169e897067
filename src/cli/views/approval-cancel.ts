import type { ApprovalCancelDocument } from "../verbs/approval-cancel.ts";
import type { View } from "../view.ts";

export function viewApprovalCancel({ changed, approval }: ApprovalCancelDocument): View {
  return [
    {
      kind: "line",
      words: true,
      cells: [`${approval.id} is ${approval.status}${changed ? "" : " already"}.`],
    },
  ];
}
