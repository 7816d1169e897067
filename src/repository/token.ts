import type { Tx } from "../db/database.ts";

/** A token without machine identity, as a host had it before. */
export interface LegacyToken {
  readonly publicId: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly workspace: string | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
  readonly effectiveStatus: "active" | "expired" | "revoked";
}

const LEGACY_COLUMNS = `t."publicId", t.name, t.scopes::jsonb AS scopes, midctl_workspace_slug(t."workspaceId") AS workspace,
  midctl_instant(t."createdAt") AS "createdAt", midctl_instant(t."expiresAt") AS "expiresAt",
  midctl_instant(t."lastUsedAt") AS "lastUsedAt", midctl_instant(t."revokedAt") AS "revokedAt",
  CASE WHEN t."revokedAt" IS NOT NULL THEN 'revoked' WHEN t."expiresAt" <= midctl_now() THEN 'expired' ELSE 'active' END AS "effectiveStatus"`;

/** Public id of the token that is kept as this hash; tells nothing of its state. */
export async function findTokenIdByHash(tx: Tx, tokenHash: string): Promise<string | null> {
  const [row] = await tx.query<{ publicId: string }>(
    `SELECT "publicId" FROM agent_token WHERE "tokenHash" = $1`,
    [tokenHash],
  );
  return row?.publicId ?? null;
}

export async function findLegacyToken(tx: Tx, publicId: string): Promise<LegacyToken | null> {
  const [row] = await tx.query<LegacyToken>(
    `SELECT ${LEGACY_COLUMNS} FROM agent_token t WHERE t."publicId" = $1 AND t."machineIdentityId" IS NULL`,
    [publicId],
  );
  return row ?? null;
}

/** Locks a legacy token, so that two revocations take turns. */
export async function lockLegacyToken(tx: Tx, publicId: string): Promise<LegacyToken | null> {
  await tx.query(`SELECT 1 AS held FROM agent_token WHERE "publicId" = $1 FOR NO KEY UPDATE`, [publicId]);
  return findLegacyToken(tx, publicId);
}

export async function revokeLegacyToken(tx: Tx, publicId: string): Promise<void> {
  await tx.query(
    `UPDATE agent_token SET "revokedAt" = midctl_now() WHERE "publicId" = $1 AND "machineIdentityId" IS NULL AND "revokedAt" IS NULL`,
    [publicId],
  );
}
