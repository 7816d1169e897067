import { NAMESPACES } from "../../domain/plan.ts";
import type { ApprovalExportDocument } from "../verbs/approval-export.ts";
import type { View } from "../view.ts";

export function viewApprovalExport({ approval, file }: ApprovalExportDocument): View {
  return [
    { kind: "line", cells: [`${file} is the plan of ${approval.id}, SHA-256 ${approval.digest}.`] },
    { kind: "notice", text: `ssh-keygen -Y sign -n ${NAMESPACES.approval} -f KEY ${file}` },
    { kind: "notice", text: `midctl approval import ${approval.id} --signature ${file}.sig` },
  ];
}
