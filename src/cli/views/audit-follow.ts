import type { AuditFollowDocument } from "../verbs/audit-follow.ts";
import type { View } from "../view.ts";
import { eventLine } from "./event-table.ts";

export function viewAuditFollow({ events }: AuditFollowDocument): View {
  return events.map(eventLine);
}
