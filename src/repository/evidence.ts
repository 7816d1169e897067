import type { Tx } from "../db/database.ts";
import type { EvidenceAgainst } from "../domain/evidence.ts";

/** `found`: what a verification found to be wrong, as long as none as good has found nothing. */
export const EVIDENCE_KINDS = ["verified", "found", "anchored"] as const;

/** That the log was verified, or its head kept elsewhere. */
export interface Evidence {
  readonly what: (typeof EVIDENCE_KINDS)[number];
  readonly against: EvidenceAgainst;
  /** RFC 3339; null for a time that is none, as whoever may write there by hand can make it. */
  readonly at: string | null;
  /** The first entry that was read. */
  readonly from: number;
  /** How many entries the log had. */
  readonly size: number;
  /** How many of them something from elsewhere was compared with, from the first on. */
  readonly compared: number;
  /** Hex, of the tree over them. */
  readonly root: string;
  /** How many things were found to be wrong. */
  readonly found: number;
  /** The database role. */
  readonly by: string;
}

/** What is noted: the last of each kind. */
export type NewEvidence = Pick<Evidence, "from" | "size"> & { readonly root: Uint8Array } & (
    | ({
        readonly what: "verified";
        /** The root of the largest head from elsewhere that did not agree; null where all did. */
        readonly disputed: Uint8Array | null;
        /** The roots of those that did. */
        readonly agreed: readonly Uint8Array[];
      } & Pick<Evidence, "against" | "compared" | "found">)
    | { readonly what: "anchored"; readonly against: "export" | "checkpoint" }
  );

/** False where the log is shorter than what was seen. */
export async function noteEvidence(tx: Tx, evidence: NewEvidence): Promise<boolean> {
  const { against, from, size } = evidence;
  const root = hex(evidence.root);
  const [row] = await (evidence.what === "anchored"
    ? tx.query<{ noted: boolean }>(
        "SELECT midctl_note_anchored($1, $2::bigint, $3::bigint, decode($4, 'hex')) AS noted",
        [against, from, size, root],
      )
    : tx.query<{ noted: boolean }>(
        `SELECT midctl_note_verified($1, $2::bigint, $3::bigint, $4::bigint, decode($5, 'hex'), $6::bigint, decode($7::text, 'hex'),
                                     ARRAY(SELECT decode(each, 'hex') FROM jsonb_array_elements_text($8::jsonb) each)) AS noted`,
        [
          ...[against, from, size, evidence.compared, root, evidence.found],
          evidence.disputed === null ? null : hex(evidence.disputed),
          JSON.stringify(evidence.agreed.map(hex)),
        ],
      ));
  return row?.noted === true;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export interface EvidenceFacts {
  /** How many entries the log has. */
  readonly size: number;
  /** Whether its database was made more than a day ago. */
  readonly old: boolean;
  /** The latest first. */
  readonly evidence: readonly Evidence[];
}

/** null for whoever may not read it, as before a new `db grant`. */
export async function readEvidence(tx: Tx): Promise<EvidenceFacts | null> {
  const [right] = await tx.query<{ reads: boolean }>(
    "SELECT has_table_privilege('midctl_log_evidence', 'SELECT') AS reads",
  );
  if (right?.reads !== true) return null;
  const [row] = await tx.query<EvidenceFacts>(
    `SELECT h.size::float8 AS size,
            coalesce((SELECT min(m."appliedAt") FROM midctl_migration m) < now() - interval '1 day', false) AS old,
            coalesce((SELECT jsonb_agg(jsonb_build_object('what', e.what, 'against', e.against, 'at', midctl_instant(e.at), 'from', e."from",
                                                          'size', e.size, 'compared', e.compared, 'root', encode(e.root, 'hex'),
                                                          'found', e.found, 'by', e."by") ORDER BY e.at DESC)
                        FROM midctl_log_evidence e), '[]') AS evidence
       FROM midctl_log_head h`,
  );
  return row ?? null;
}
