import type { Tx } from "../db/database.ts";
import type { Secret } from "./token-facts.ts";

/**
 * Notes uses of good tokens: of token and identity. Verifiers that note the same ones take turns.
 * @param publicIds of tokens; base62
 */
export async function recordUses(tx: Tx, publicIds: readonly string[]): Promise<void> {
  await tx.query("SELECT midctl_note_uses($1::text[]) AS noted", [`{${publicIds.join(",")}}`]);
}

/** Activates a pending credential by its secret; false where it is not pending (any more). Exactly one caller gets true. */
export async function activate(tx: Tx, { publicId, hash }: Secret): Promise<boolean> {
  const [row] = await tx.query<{ made: boolean }>("SELECT midctl_activate($1::text, $2::text) AS made", [
    publicId,
    hash,
  ]);
  return row?.made === true;
}

/** Uses of one token that were refused although its secret was right. */
export interface RefusedUses {
  readonly publicId: string;
  readonly code: string;
  readonly uses: number;
}

/** Adds refused uses up, a row per token. */
export async function recordRefusedUses(tx: Tx, refused: readonly RefusedUses[]): Promise<void> {
  await tx.query(
    `INSERT INTO midctl_refused_use AS r ("publicId", code, uses, "firstAt", "lastAt")
     SELECT u."publicId", u.code, u.uses, midctl_now(), midctl_now()
       FROM jsonb_to_recordset($1::text::jsonb) AS u("publicId" text, code text, uses bigint)
      ORDER BY u."publicId"
     ON CONFLICT ("publicId") DO UPDATE SET code = excluded.code, uses = r.uses + excluded.uses, "lastAt" = excluded."lastAt"`,
    [JSON.stringify(refused)],
  );
}

/** A token that is still tried although it has ended. */
export interface RefusedUse {
  /** `mc_…`, or `at_…` of a legacy token. */
  readonly ref: string;
  /** Slug of its identity; null for a legacy token. */
  readonly identity: string | null;
  readonly code: string;
  readonly uses: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

/** Those tried within the last `seconds`, latest first. */
export async function readRefusedUses(tx: Tx, seconds: number, limit: number): Promise<RefusedUse[]> {
  return tx.query<RefusedUse>(
    `SELECT CASE WHEN c.id IS NULL THEN 'at_' ELSE 'mc_' END || r."publicId" AS ref, i.slug AS identity, r.code, r.uses::float8 AS uses,
            midctl_instant(r."firstAt") AS "firstAt", midctl_instant(r."lastAt") AS "lastAt"
       FROM midctl_refused_use r
       LEFT JOIN machine_identity_credential c ON c."publicId" = r."publicId"
       LEFT JOIN machine_identity i ON i.id = c."machineIdentityId"
      WHERE r."lastAt" > midctl_now() - make_interval(secs => $1::float8)
      ORDER BY r."lastAt" DESC, r."publicId" LIMIT $2::int`,
    [seconds, limit],
  );
}
