import type { AuditListDocument } from "../verbs/audit-list.ts";
import type { Block, View } from "../view.ts";
import { eventTable } from "./event-table.ts";

export function viewAuditList({ events, nextCursor }: AuditListDocument): View {
  const blocks: Block[] = [eventTable(events, "Nothing of that kind happened.")];
  if (nextCursor !== null) blocks.push({ kind: "notice", text: `There is more: --cursor ${nextCursor}` });
  return blocks;
}
