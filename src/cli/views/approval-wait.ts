import type { ApprovalWaitDocument } from "../verbs/approval-wait.ts";
import type { View } from "../view.ts";

export function viewApprovalWait({ approval }: ApprovalWaitDocument): View {
  return [{ kind: "line", cells: [`${approval.id} is ${approval.status}.`] }];
}
