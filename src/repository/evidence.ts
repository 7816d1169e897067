import type { Tx } from "../db/database.ts";

export const EVIDENCE_KINDS = ["verified", "anchored"] as const;
/** What the log was compared with as it was verified; where its head was kept as it was anchored. */
export const EVIDENCE_AGAINST = ["itself", "export", "checkpoint", "signed_checkpoint"] as const;

/** That the log was verified, or its head kept elsewhere. */
export interface Evidence {
  readonly what: (typeof EVIDENCE_KINDS)[number];
  readonly against: (typeof EVIDENCE_AGAINST)[number];
  /** RFC 3339. */
  readonly at: string;
  /** The first entry that was read. */
  readonly from: number;
  /** How many entries the log had. */
  readonly size: number;
  /** How many things were found to be wrong. */
  readonly found: number;
  /** The database role. */
  readonly by: string;
}

/** What is noted: the last of each kind. */
export type NewEvidence = Omit<Evidence, "at" | "by"> & { readonly root: Uint8Array };

/** False where the log is shorter than what was seen. */
export async function noteEvidence(
  tx: Tx,
  { what, against, from, size, root, found }: NewEvidence,
): Promise<boolean> {
  const [row] = await tx.query<{ noted: boolean }>(
    "SELECT midctl_note_evidence($1, $2, $3::bigint, $4::bigint, decode($5, 'hex'), $6::bigint) AS noted",
    [what, against, from, size, Buffer.from(root).toString("hex"), found],
  );
  return row?.noted === true;
}

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
                                                          'size', e.size, 'found', e.found, 'by', e."by") ORDER BY e.at DESC)
                        FROM midctl_log_evidence e), '[]') AS evidence
       FROM midctl_log_head h`,
  );
  return row ?? null;
}
