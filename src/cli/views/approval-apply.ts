import type { ApprovalApplyDocument } from "../verbs/approval-apply.ts";
import type { Block, View } from "../view.ts";

/** So many lines that went wrong are told one by one. */
const TOLD = 20;

export function viewApprovalApply({ changed, approval, results }: ApprovalApplyDocument): View {
  const done = results.filter(({ outcome }) => outcome === "done").length;
  const superseded = results.filter(({ outcome }) => outcome === "superseded");
  const blocks: Block[] = [
    {
      kind: "line",
      words: true,
      cells: [
        changed
          ? `${approval.id}: ${done} of ${approval.lines} ${approval.lines === 1 ? "line" : "lines"} carried out${superseded.length === 0 ? "" : `, ${superseded.length} superseded`}; it is ${approval.status}.`
          : `${approval.id} is ${approval.status} already; nothing was changed.`,
      ],
    },
  ];
  for (const { line, problem } of superseded.slice(0, TOLD)) {
    blocks.push({ kind: "line", words: true, cells: [`${line}. superseded: ${problem}`] });
  }
  return blocks;
}
