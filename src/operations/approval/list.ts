import type { Tx } from "../../db/database.ts";
import { type Approval, readApprovals } from "../../repository/approval.ts";

export interface ApprovalPage {
  readonly approvals: readonly Approval[];
  /** The id before which the next page goes on; null at the end. */
  readonly next: string | null;
}

/** Requests, newest first. @param before an id; only older ones */
export async function listRequests(
  db: Tx,
  { open, limit, before }: { readonly open: boolean; readonly limit: number; readonly before: string | null },
): Promise<ApprovalPage> {
  const found = await readApprovals(db, { open, limit: limit + 1, before });
  const approvals = found.slice(0, limit);
  return { approvals, next: found.length > limit ? (approvals.at(-1)?.id ?? null) : null };
}
