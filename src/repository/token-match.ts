/** What a token belongs to, for whoever may read no hash: the database compares. */
import type { Tx } from "../db/database.ts";

export interface LookupStanding {
  /** Who is connected. */
  readonly name: string;
  readonly readsHashes: boolean;
  /** Whether it may let the database compare. */
  readonly mayMatch: boolean;
}

export async function readLookupStanding(tx: Tx): Promise<LookupStanding> {
  const [row] = await tx.query<LookupStanding>(
    `SELECT current_user::text AS name,
            has_column_privilege('machine_identity_credential', 'tokenHash', 'SELECT') AND has_column_privilege('agent_token', 'tokenHash', 'SELECT') AS "readsHashes",
            has_function_privilege('midctl_match(text[], text[])', 'EXECUTE') AND has_function_privilege('midctl_match_legacy(text[])', 'EXECUTE') AS "mayMatch"`,
  );
  return row ?? { name: "", readsHashes: false, mayMatch: false };
}

export interface Match {
  readonly kind: "credential" | "token";
  readonly publicId: string;
}

/** @param publicId that the token says; null for one that is not of ours */
export async function findMatching(tx: Tx, publicId: string | null, hash: string): Promise<Match | null> {
  const [row] =
    publicId === null
      ? await tx.query<Match>(
          `SELECT CASE WHEN m."publicId" IS NULL THEN 'token' ELSE 'credential' END AS kind, coalesce(m."publicId", m."tPublicId") AS "publicId"
             FROM midctl_match_legacy(ARRAY[$1::text]) m WHERE m.good`,
          [hash],
        )
      : await tx.query<Match>(
          `SELECT 'credential' AS kind, m."publicId" FROM midctl_match(ARRAY[$1::text], ARRAY[$2::text]) m WHERE m.good`,
          [publicId, hash],
        );
  return row ?? null;
}
