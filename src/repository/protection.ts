import type { Tx } from "../db/database.ts";
import { IS_LIVE } from "./credential.ts";

/** What protecting a running environment has to look at (SPEC §9): everything that is alive. */

/** Of `agent_token t`: a legacy token that authenticates. */
export const LEGACY_IN_FORCE = `t."machineIdentityId" IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > midctl_now(), true)`;

export interface LiveToken {
  /** `mc_…`, or `at_…` of a legacy token. */
  readonly id: string;
  /** null for a legacy token, of which no change is counted. */
  readonly version: number | null;
  readonly identity: { readonly slug: string; readonly publicId: string; readonly version: number } | null;
  /** Hex. */
  readonly tokenHash: string;
  /** JSON as it is kept. */
  readonly scopes: string;
  /** RFC 3339; null for no end. */
  readonly endsAt: string | null;
}

/** Credentials that are pending, current or in grace, and legacy tokens in force. */
export async function readLiveTokens(tx: Tx): Promise<LiveToken[]> {
  return tx.query<LiveToken>(
    `SELECT 'mc_' || c."publicId" AS id, c.version, jsonb_build_object('slug', i.slug, 'publicId', i."publicId", 'version', i.version) AS identity,
            c."tokenHash", c.scopes, midctl_instant(LEAST(c."expiresAt", c."graceUntil")) AS "endsAt"
       FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
      WHERE midctl_is_live(c, midctl_now())
     UNION ALL
     SELECT 'at_' || t."publicId", NULL, NULL, t."tokenHash", t.scopes, midctl_instant(nullif(t."expiresAt", 'infinity'))
       FROM agent_token t
      WHERE ${LEGACY_IN_FORCE}
      ORDER BY 1`,
  );
}

/** The same without the hash. */
export interface LiveRow {
  readonly id: string;
  readonly identity: { readonly slug: string; readonly publicId: string } | null;
  /** JSON as it is kept. */
  readonly scopes: string;
  /** RFC 3339; null for a legacy token. */
  readonly issuedAt: string | null;
}

/** The same tokens, by reference; of these, whoever may not read hashes can ask. */
export async function readLiveRows(tx: Tx): Promise<LiveRow[]> {
  return tx.query<LiveRow>(
    `SELECT 'mc_' || c."publicId" AS id, jsonb_build_object('slug', i.slug, 'publicId', i."publicId") AS identity, c.scopes,
            midctl_instant(c."issuedAt") AS "issuedAt"
       FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId" WHERE ${IS_LIVE}
     UNION ALL SELECT 'at_' || t."publicId", NULL, t.scopes, NULL FROM agent_token t WHERE ${LEGACY_IN_FORCE} ORDER BY 1`,
  );
}

/** Gives tokens that have no end one, by public id. */
export async function shortenTokens(
  tx: Tx,
  ends: readonly { readonly id: string; readonly endsAt: string }[],
): Promise<void> {
  if (ends.length === 0) return;
  const given = JSON.stringify(ends);
  await tx.query(
    `UPDATE machine_identity_credential c SET "expiresAt" = g."endsAt" AT TIME ZONE 'UTC'
       FROM jsonb_to_recordset($1::text::jsonb) AS g(id text, "endsAt" timestamptz)
      WHERE c."publicId" = g.id AND c."expiresAt" IS NULL AND c.status NOT IN ('revoked', 'abandoned')`,
    [given],
  );
  await tx.query(
    `UPDATE agent_token t SET "expiresAt" = g."endsAt" AT TIME ZONE 'UTC'
       FROM jsonb_to_recordset($1::text::jsonb) AS g(id text, "endsAt" timestamptz)
      WHERE t."publicId" = g.id AND t."machineIdentityId" IS NULL AND coalesce(t."expiresAt", 'infinity') = 'infinity'`,
    [given],
  );
}
