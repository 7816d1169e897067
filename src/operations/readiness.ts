import type { Tx } from "../db/database.ts";
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

/** How much there is of everything, by effective status: a pass over all of it. */
export function readCounts(db: Tx): Promise<Counts> {
  return countByStatus(db);
}
