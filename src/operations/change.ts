import type { Database, Tx } from "../db/database.ts";
import { type Claim, claimTransaction } from "../repository/claim.ts";

/** Who asks for a change, why, and whether it is only to be tried. */
export interface Request extends Claim {
  /** Runs the real transaction, deferred checks included, and rolls it back. */
  readonly dryRun?: boolean;
}

/**
 * The one way in which anything changes: one transaction that says who acts, so that change and log entry exist
 * together or not at all.
 */
export async function change<T>(db: Database, request: Request, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(async (tx) => {
      await claimTransaction(tx, request);
      const result = await work(tx);
      if (request.dryRun !== true) return result;
      await tx.query("SET CONSTRAINTS ALL IMMEDIATE");
      throw new RolledBack(result);
    });
  } catch (error) {
    if (error instanceof RolledBack) return error.result as T;
    throw error;
  }
}

/** Carries a dry run's result past the rollback. */
class RolledBack extends Error {
  readonly result: unknown;
  constructor(result: unknown) {
    super("rolled back as asked");
    this.result = result;
  }
}
