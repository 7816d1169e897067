import type { Tx } from "../db/database.ts";
import { countOpenApprovals } from "../repository/approval.ts";
import type { Credential } from "../repository/credential.ts";
import type { Environment } from "../repository/environment.ts";
import { readEvidence } from "../repository/evidence.ts";
import { listCredentialRows } from "../repository/listing.ts";
import { type Counts, countByStatus, readServer, type ServerFacts } from "../repository/overview.ts";
import { type RefusedUse, readRefusedUses } from "../repository/use.ts";
import { readVerifiers } from "../repository/verifier.ts";
import { type Witnessed, witnessedOf } from "./evidence.ts";
import { requireEnvironment } from "./lookup.ts";

const WEEK = 7 * 86_400;
const SHOWN = 20;

export interface StatusReport {
  readonly environment: Environment;
  readonly server: ServerFacts;
  readonly counts: Counts;
  /** Live credentials that end within seven days, soonest first, at most 20. */
  readonly expiring: readonly Credential[];
  readonly moreExpiring: boolean;
  /** Verifiers that cache, and are waited for by pause and revoke. */
  readonly verifiers: number;
  /** Tokens that were tried within seven days although they had ended, latest first, at most 20. */
  readonly refusedUses: readonly RefusedUse[];
  /** Requests that wait for an approval, or to be carried out. */
  readonly openApprovals: number;
  /** What was done by breaking the glass, and nobody has countersigned. */
  readonly uncountersigned: number;
  /** When the log was last verified and anchored; null for whoever may not read that. */
  readonly log: Witnessed | null;
}

/** What there is and what needs attention soon. */
export async function readStatus(db: Tx): Promise<StatusReport> {
  const [environment, server, counts, expiring, verifiers, refusedUses, approvals, evidence] =
    await Promise.all([
      requireEnvironment(db),
      readServer(db),
      countByStatus(db),
      listCredentialRows(
        db,
        {
          status: [],
          labels: [],
          owner: null,
          provider: null,
          expiringWithin: WEEK,
          unusedFor: null,
          identity: null,
        },
        "expires",
        { limit: SHOWN, after: null, descending: false },
      ),
      readVerifiers(db),
      readRefusedUses(db, WEEK, SHOWN),
      countOpenApprovals(db),
      readEvidence(db),
    ]);
  return {
    environment,
    server,
    counts,
    expiring: expiring.rows,
    moreExpiring: expiring.next !== null,
    verifiers: verifiers.length,
    refusedUses,
    openApprovals: approvals.open,
    uncountersigned: approvals.uncountersigned,
    log: evidence === null ? null : witnessedOf(evidence),
  };
}
