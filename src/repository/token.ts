import type { Tx } from "../db/database.ts";
import { CREDENTIAL_COLUMNS, type Credential } from "./credential.ts";
import { IDENTITY_COLUMNS, type Identity } from "./identity.ts";

/** A token of a machine identity, with all that a decision needs. The hash stays between here and the comparison. */
export interface KnownToken {
  readonly tokenHash: string;
  readonly credential: Credential;
  readonly identity: Identity;
  /** Soonest end of credential, grace, identity and ancestors. */
  readonly end: string | null;
  /** The host revoked the row, whatever the credential says. */
  readonly hostRevoked: boolean;
  /** Whether its last use is old enough to be written again. */
  readonly stale: boolean;
}

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
  readonly stale: boolean;
}

/** Last use is written at most once a minute, and often enough for a shorter `idleTtl`. */
const STALE = `(t."lastUsedAt" IS NULL OR t."lastUsedAt" < midctl_now() - make_interval(secs => LEAST(60, coalesce(i."idleTtl", 240) / 4.0)))`;

const LEGACY_COLUMNS = `t."publicId", t.name, t.scopes::jsonb AS scopes, midctl_workspace_slug(t."workspaceId") AS workspace,
  midctl_instant(t."createdAt") AS "createdAt", midctl_instant(t."expiresAt") AS "expiresAt",
  midctl_instant(t."lastUsedAt") AS "lastUsedAt", midctl_instant(t."revokedAt") AS "revokedAt",
  CASE WHEN t."revokedAt" IS NOT NULL THEN 'revoked' WHEN t."expiresAt" <= midctl_now() THEN 'expired' ELSE 'active' END AS "effectiveStatus",
  (t."lastUsedAt" IS NULL OR t."lastUsedAt" < midctl_now() - interval '1 minute') AS stale`;

interface KnownTokenRow {
  readonly tokenHash: string;
  readonly credential: Credential;
  readonly identity: Identity;
  readonly end: string | null;
  readonly hostRevoked: boolean;
  readonly stale: boolean;
}

export async function findToken(tx: Tx, publicId: string): Promise<KnownToken | null> {
  const [row] = await tx.query<KnownTokenRow>(
    `SELECT c."tokenHash",
            (SELECT to_jsonb(x) FROM (SELECT ${CREDENTIAL_COLUMNS}) x) AS credential,
            (SELECT to_jsonb(x) FROM (SELECT ${IDENTITY_COLUMNS}) x) AS identity,
            midctl_instant(LEAST(c."expiresAt", c."graceUntil", midctl_identity_end(i.id))) AS "end",
            t."revokedAt" IS NOT NULL AS "hostRevoked", ${STALE} AS stale
       FROM machine_identity_credential c
       JOIN machine_identity i ON i.id = c."machineIdentityId"
       JOIN agent_token t ON t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = i.id
      WHERE c."publicId" = $1`,
    [publicId],
  );
  return row ?? null;
}

/** Public id of the token that is kept as this hash; tells nothing of its state. */
export async function findTokenIdByHash(
  tx: Tx,
  tokenHash: string,
): Promise<{ publicId: string; legacy: boolean } | null> {
  const [row] = await tx.query<{ publicId: string; legacy: boolean }>(
    `SELECT "publicId", "machineIdentityId" IS NULL AS legacy FROM agent_token WHERE "tokenHash" = $1`,
    [tokenHash],
  );
  return row ?? null;
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

/** Notes a use: identity before token, as every lock goes. */
export async function recordUse(tx: Tx, publicId: string): Promise<void> {
  await tx.query(
    `UPDATE machine_identity SET "lastUsedAt" = midctl_now()
      WHERE id = (SELECT "machineIdentityId" FROM agent_token WHERE "publicId" = $1)
        AND status <> 'revoked' AND ("lastUsedAt" IS NULL OR "lastUsedAt" < midctl_now())`,
    [publicId],
  );
  await tx.query(`UPDATE agent_token SET "lastUsedAt" = midctl_now() WHERE "publicId" = $1`, [publicId]);
}
