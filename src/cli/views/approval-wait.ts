import type { ApprovalWaitDocument } from "../verbs/approval-wait.ts";
import type { View } from "../view.ts";

const WHY: Readonly<Record<string, string>> = {
  database: "the policy names other databases",
  request_unsigned: "the request is not signed",
  break_glass: "the policy does not let its requester break the glass",
  quorum: "too few approvals hold",
};

export function viewApprovalWait({ approval, short }: ApprovalWaitDocument): View {
  const { id, status } = approval;
  const counted = status === "approved" || status === "executed" || status === "countersigned";
  const text =
    counted && short !== null
      ? `${id} is ${status} in the database, but its signatures do not hold: ${WHY[short] ?? short}.`
      : `${id} is ${status}.`;
  return [{ kind: "line", words: true, cells: [text] }];
}
