import type { ApprovalListDocument } from "../verbs/approval-list.ts";
import { type Block, status, time, type View } from "../view.ts";

export function viewApprovalList({ approvals, nextCursor }: ApprovalListDocument): View {
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [
        { title: "APPROVAL", fixed: true },
        { title: "STATUS", fixed: true },
        { title: "ACTION" },
        { title: "LINES", align: "right" },
        { title: "REQUESTER" },
        { title: "REQUESTED", optional: true },
        { title: "APPROVE BY" },
        { title: "EXECUTE BY", optional: true },
      ],
      rows: approvals.map((approval) => [
        approval.id,
        status(approval.status),
        `${approval.breakGlass ? "break-glass: " : ""}${approval.action}`,
        approval.lines,
        approval.requester,
        time(approval.requestedAt),
        // What was done at once waits for no clock.
        time(approval.breakGlass ? null : approval.approveBy),
        time(approval.breakGlass ? null : approval.executeBy),
      ]),
      empty: "Nothing waits for an approval.",
    },
  ];
  if (nextCursor !== null) blocks.push({ kind: "notice", text: `There is more: --cursor ${nextCursor}` });
  return blocks;
}
