import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { Evidence, EvidenceFacts, NewEvidence } from "../repository/evidence.ts";
import { noteEvidence as note, readEvidence } from "../repository/evidence.ts";
import type { Finding } from "./doctor.ts";

/** In ms: so long a protected environment's log may grow without its head being kept elsewhere, or being held against one that was. */
const ANCHORED_WITHIN = 86_400_000;
const VERIFIED_WITHIN = 30 * 86_400_000;

/**
 * Notes that the log was verified, or its head kept elsewhere, for `status` and `doctor`. It is bookkeeping beside the log and no
 * entry in it: a log that grew by being verified would never be as long as its last checkpoint.
 * @returns what kept it from being noted: a role without the right, a standby; null where it was
 */
export async function noteEvidence(db: Tx, evidence: NewEvidence): Promise<MidctlError | null> {
  try {
    await note(db, evidence);
    return null;
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
}

/**
 * How many entries were last verified against checkpoints, with nothing found; 0 where that never was, and for whoever may not read it.
 * @param signed only against those that were signed by a key that was given
 */
export async function readVerified(db: Tx, { signed }: { readonly signed: boolean }): Promise<number> {
  const sound = ((await readEvidence(db))?.evidence ?? []).filter(
    ({ what, against, found }) =>
      what === "verified" &&
      found === 0 &&
      (against === "signed_checkpoint" || (against === "checkpoint" && !signed)),
  );
  return Math.max(0, ...sound.map(({ size }) => size));
}

/** When the log was last verified, and its head last kept elsewhere. */
export interface Witnessed {
  /** How many entries the log has now. */
  readonly size: number;
  /** The last time against something from elsewhere, or else against itself; null where it never was. */
  readonly verified: Evidence | null;
  readonly anchored: Evidence | null;
}

export function witnessedOf({ size, evidence }: EvidenceFacts): Witnessed {
  const verified = evidence.filter(({ what }) => what === "verified");
  return {
    size,
    verified: verified.find(({ against }) => against !== "itself") ?? verified[0] ?? null,
    anchored: evidence.find(({ what }) => what === "anchored") ?? null,
  };
}

/**
 * What the last verification found, whatever the environment; and in a protected one, that nobody outside of the database would
 * notice if its log were rewritten.
 * @param clock the database's, in ms since 1970
 */
export function evidenceFindings(
  facts: EvidenceFacts,
  { isProtected, clock }: { readonly isProtected: boolean; readonly clock: number },
): Omit<Finding, "check">[] {
  const { size, verified, anchored } = witnessedOf(facts);
  const findings: Omit<Finding, "check">[] = facts.evidence.filter(isBad).map(({ at, against, found }) => ({
    severity: "error",
    message: `On ${at} the log was compared with ${NAMES[against]}, and ${found} thing${found === 1 ? " was" : "s were"} found to be wrong.`,
    // Names them.
    mend: `midctl audit verify${OPTIONS[against]}`,
  }));
  if (!isProtected || !facts.old) return findings;
  const since = (evidence: Evidence | null): number =>
    evidence === null ? Number.POSITIVE_INFINITY : clock - Date.parse(evidence.at);
  if (since(anchored) > ANCHORED_WITHIN && size > (anchored?.size ?? 0)) {
    findings.push({
      severity: "warning",
      message:
        anchored === null
          ? "The log's head was never kept outside of this database: who can rewrite the whole of it would not be found."
          : `The log has grown from ${anchored.size} to ${size} entries since its head was last kept outside of this database, on ${anchored.at}.`,
      mend: "midctl audit checkpoint --key FILE --out FILE, and --checkpoint-out with sweep or serve for what comes",
    });
  }
  if (since(verified?.against === "itself" ? null : verified) > VERIFIED_WITHIN) {
    findings.push({
      severity: "warning",
      message: `The log was ${verified === null || verified.against === "itself" ? "never" : `last on ${verified.at}`} compared with what was kept outside of this database.`,
      mend: "midctl audit verify --checkpoint FILE",
    });
  }
  return findings;

  /** What was found stands until the log was compared anew: what is from elsewhere is no worse than what is of itself. */
  function isBad(one: Evidence): boolean {
    const isBetter = ({ what, against, found, at }: Evidence): boolean =>
      what === "verified" && found === 0 && at > one.at && (against !== "itself" || one.against === "itself");
    return one.found > 0 && !facts.evidence.some(isBetter);
  }
}

const NAMES = {
  itself: "itself",
  export: "an export",
  checkpoint: "checkpoints",
  signed_checkpoint: "signed checkpoints",
} as const satisfies Record<Evidence["against"], string>;

const OPTIONS = {
  itself: "",
  export: " --export FILE",
  checkpoint: " --checkpoint FILE",
  signed_checkpoint: " --checkpoint FILE --checkpoint-key KEY",
} as const satisfies Record<Evidence["against"], string>;
