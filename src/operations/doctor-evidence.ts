/** What `doctor` says of the notes about the log. */
import { AGAINST, verifyAgainst } from "../domain/evidence.ts";
import type { Evidence, EvidenceFacts } from "../repository/evidence.ts";
import type { Finding } from "./doctor.ts";
import { witnessedOf } from "./evidence.ts";

/** In ms: so long a protected environment's log may grow without its head being kept elsewhere, or being held against one that was. */
const ANCHORED_WITHIN = 86_400_000;
const VERIFIED_WITHIN = 30 * 86_400_000;
/** In ms: a note from later than that is of a clock that was wrong, and says nothing of how long ago it was. */
const AHEAD = 60_000;

/**
 * What verifications found, and that this is no longer the log that was verified, whatever the environment; and in a protected one, that
 * nobody outside of the database would notice if its log were rewritten.
 * @param unlike as `readUnlike` has them
 * @param clock the database's, in ms since 1970
 */
export function evidenceFindings(
  facts: EvidenceFacts,
  {
    unlike,
    isProtected,
    clock,
  }: { readonly unlike: readonly Evidence[]; readonly isProtected: boolean; readonly clock: number },
): Omit<Finding, "check">[] {
  const { size, verified, anchored, found } = witnessedOf(facts);
  const findings: Omit<Finding, "check">[] = found.map((each) => ({
    severity: "error",
    message: `${sayFound(each)}. That stands until a comparison as good, of the whole log, finds nothing. After a restore that was meant the owner of the schema takes it away: DELETE FROM midctl_log_evidence WHERE what = 'found'.`,
    // Names them.
    mend: verifyAgainst(each.against),
  }));
  const [other] = unlike;
  if (other !== undefined) {
    findings.push({
      severity: "error",
      message: `${onceAt(other.at)} the log was ${other.what} with ${other.size} entries, ${other.size > size ? `and now it has ${size}: it was cut off, or restored from before` : "which are not those that it begins with now: it was rewritten"}.`,
      mend: "midctl audit verify --checkpoint FILE",
    });
  }
  if (!isProtected || !facts.old) return findings;
  const since = (evidence: Evidence | null): number => {
    const ago = clock - Date.parse(evidence?.at ?? "");
    return ago >= -AHEAD ? ago : Number.POSITIVE_INFINITY;
  };
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
  const compared = verified === null || verified.compared === 0 ? null : verified;
  if (since(compared) > VERIFIED_WITHIN) {
    findings.push({
      severity: "warning",
      message: `The log was ${compared === null ? "never" : `last on ${compared.at}`} compared with what was kept outside of this database.`,
      mend: "midctl audit verify --checkpoint FILE",
    });
  }
  return findings;
}

/** What a verification found, without a full stop. */
export function sayFound({ at, against, found }: Evidence): string {
  const things = `${found} thing${found === 1 ? " was" : "s were"}`;
  return `${onceAt(at)} the log was compared with ${AGAINST[against]}, and ${things} found to be wrong`;
}

function onceAt(at: string | null): string {
  return at === null ? "At no moment that there is" : `On ${at}`;
}
