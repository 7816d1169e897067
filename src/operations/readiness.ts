import type { Tx } from "../db/database.ts";
import { countOpenApprovals, mayReadApprovals } from "../repository/approval.ts";
import { type Counts, countByStatus, readBarred } from "../repository/overview.ts";

/** Whether tokens can be decided on, and if not why: the database does not answer, is a standby, or has moved. */
export type Readiness = "ready" | "standby" | "moved" | "unavailable";

/** Asks the database. Never throws. */
export async function readReadiness(db: Tx): Promise<Readiness> {
  try {
    return (await readBarred(db)) ?? "ready";
  } catch {
    return "unavailable";
  }
}

/** What there is, and what waits for somebody. */
export interface Tally extends Counts {
  /** Requests that wait for votes or for their execution, and break-glass that nobody countersigned; null: may not be read. */
  readonly approvals: { readonly open: number; readonly uncountersigned: number } | null;
}

/** How much there is of everything, by effective status: a pass over all of it. */
export async function readCounts(db: Tx): Promise<Tally> {
  const [counts, approvals] = await Promise.all([
    countByStatus(db),
    mayReadApprovals(db).then((may) => (may ? countOpenApprovals(db) : null)),
  ]);
  return { ...counts, approvals };
}
