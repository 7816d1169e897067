import type { Tx } from "../db/database.ts";
import { LISTED, lookedUp } from "./given.ts";
import { toScopes } from "./token-facts.ts";

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

const LEGACY_COLUMNS = `t."publicId", t.name, t.scopes, midctl_workspace_slug(t."workspaceId") AS workspace,
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

/** Public ids of the tokens that have one of these public ids, or are kept as one of these hashes, and are no credential. */
export async function readTokensLike(
  tx: Tx,
  secrets: readonly { readonly publicId: string; readonly hash: string }[],
): Promise<string[]> {
  const given = JSON.stringify(secrets.map(({ publicId, hash }) => ({ publicId, hash })));
  const rows = await tx.query<{ publicId: string }>(
    `WITH given AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS g("publicId" text, hash text))
     SELECT g."publicId" FROM given g CROSS JOIN ${lookedUp("agent_token", "t", `"publicId"`, `"publicId" = g."publicId"`)} WHERE NOT EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = t."publicId")
     UNION
     SELECT g."publicId" FROM given g CROSS JOIN ${lookedUp("agent_token", "t", `"publicId"`, `"tokenHash" = g.hash`)} WHERE NOT EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = t."publicId")`,
    [given],
  );
  return rows.map(({ publicId }) => publicId);
}

export async function findLegacyToken(tx: Tx, publicId: string): Promise<LegacyToken | null> {
  const [token] = await readLegacyTokens(tx, [publicId]);
  return token ?? null;
}

/** Those of these public ids that are legacy tokens, in no particular order. */
export async function readLegacyTokens(tx: Tx, publicIds: readonly string[]): Promise<LegacyToken[]> {
  const rows = await tx.query<LegacyToken>(
    `SELECT ${LEGACY_COLUMNS} FROM agent_token t
      WHERE t."publicId" = ANY (${LISTED}) AND t."machineIdentityId" IS NULL`,
    [JSON.stringify(publicIds)],
  );
  // As text: what a host wrote there need not be JSON.
  return rows.map((row) => ({ ...row, scopes: toScopes(row.scopes) }));
}

/** Locks a legacy token, so that two revocations take turns. */
export async function lockLegacyToken(tx: Tx, publicId: string): Promise<LegacyToken | null> {
  await tx.query(`SELECT 1 AS held FROM agent_token WHERE "publicId" = $1 FOR NO KEY UPDATE`, [publicId]);
  return findLegacyToken(tx, publicId);
}

export async function revokeLegacyToken(tx: Tx, publicId: string): Promise<void> {
  await tx.query(`SELECT midctl_revoke_legacy($1)`, [publicId]);
}

/** References of tokens that begin so, adopted or not, for completion and "did you mean". */
export async function suggestTokens(tx: Tx, prefix: string, limit = 50): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `SELECT 'at_' || "publicId" AS id FROM agent_token WHERE "publicId" LIKE $1 || '%' ORDER BY agent_token.id DESC LIMIT $2::int`,
    [prefix.replace(/[\\%_]/g, "\\$&"), limit],
  );
  return rows.map((row) => row.id);
}

/** A token with what its adoption depends on. */
export interface TokenToAdopt {
  readonly publicId: string;
  readonly name: string;
  /** As the host stored them. */
  readonly scopes: string;
  readonly workspace: string | null;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly effectiveStatus: "active" | "expired" | "revoked";
  /** Slug; without a credential beside it the token authenticates nobody. */
  readonly identity: string | null;
  /** The credential that it is already, and whose. */
  readonly credential: { readonly name: string; readonly identity: string } | null;
}

const ADOPTION_COLUMNS = `t."publicId", t.name, t.scopes, midctl_workspace_slug(t."workspaceId") AS workspace,
  midctl_instant(t."expiresAt") AS "expiresAt", midctl_instant(t."lastUsedAt") AS "lastUsedAt",
  CASE WHEN t."revokedAt" IS NOT NULL THEN 'revoked' WHEN t."expiresAt" <= midctl_now() THEN 'expired' ELSE 'active' END AS "effectiveStatus",
  (SELECT i.slug FROM machine_identity i WHERE i.id = t."machineIdentityId") AS identity,
  CASE WHEN c.id IS NOT NULL THEN jsonb_build_object('name', c.name,
    'identity', (SELECT i.slug FROM machine_identity i WHERE i.id = c."machineIdentityId")) END AS credential`;

const WITH_CREDENTIAL = `agent_token t LEFT JOIN machine_identity_credential c ON c."publicId" = t."publicId"`;

/** In force and nobody's credential: without a machine identity, or with one that a host gave it. */
const UNADOPTED = `c.id IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > midctl_now(), true)`;

export async function findTokenToAdopt(tx: Tx, publicId: string): Promise<TokenToAdopt | null> {
  const [token] = await readTokensToAdopt(tx, [publicId]);
  return token ?? null;
}

/** Those of these public ids that there are, in no particular order. */
export async function readTokensToAdopt(tx: Tx, publicIds: readonly string[]): Promise<TokenToAdopt[]> {
  return tx.query<TokenToAdopt>(
    `SELECT ${ADOPTION_COLUMNS} FROM ${WITH_CREDENTIAL}
      WHERE t."publicId" = ANY (${LISTED})`,
    [JSON.stringify(publicIds)],
  );
}

/** Locks tokens until the transaction ends, always in the same order. */
export async function lockTokens(tx: Tx, publicIds: readonly string[]): Promise<void> {
  await tx.query(
    `SELECT count(*)::int AS held FROM (
       SELECT 1 FROM agent_token WHERE "publicId" = ANY (${LISTED})
        ORDER BY id FOR NO KEY UPDATE) locked`,
    [JSON.stringify(publicIds)],
  );
}

/** A token that nobody adopted, and who made it, as far as the host's own table of users says. */
export interface UnadoptedToken extends TokenToAdopt {
  /** E-mail, else name; null where the host keeps neither. */
  readonly creator: string | null;
}

/** Every token in force that was not adopted, oldest first; of one workspace, or of all. */
export async function readUnadopted(tx: Tx, workspace: string | null): Promise<UnadoptedToken[]> {
  const [users] = await tx.query<{ columns: string[] | null }>(
    `SELECT array_agg(attname::text) AS columns FROM pg_attribute
      WHERE attrelid = to_regclass('"user"') AND attnum > 0 AND NOT attisdropped AND attname IN ('id', 'email', 'name')
        AND has_column_privilege(attrelid, attnum, 'SELECT')`,
  );
  const columns = users?.columns ?? [];
  const shown = ["email", "name"].filter((column) => columns.includes(column));
  const known = columns.includes("id") && shown.length > 0;
  return tx.query<UnadoptedToken>(
    `SELECT ${ADOPTION_COLUMNS}, ${known ? `coalesce(${shown.map((column) => `nullif(u."${column}"::text, '')`).join(", ")})` : "NULL::text"} AS creator
       FROM ${WITH_CREDENTIAL} ${known ? `LEFT JOIN "user" u ON u."id"::text = t."createdBy"::text` : ""}
      WHERE ${UNADOPTED} AND ($1::text IS NULL OR t."workspaceId" = midctl_workspace_id($1::text))
      ORDER BY t.id`,
    [workspace],
  );
}

/** What an end for all legacy tokens would come to, or came to. */
export interface Sunset {
  /** RFC 3339. */
  readonly endsAt: string;
  /** Legacy tokens in force that have no end, or a later one. */
  readonly later: number;
  /** Those that end by then anyway. */
  readonly sooner: number;
  /** In force, with a machine identity and no credential: they authenticate nobody, and their end is not ours to set. */
  readonly refused: number;
}

/** Counts; null where the end does not lie in the future of the database's clock. Seconds count from there. */
export async function readSunset(tx: Tx, end: { at: string } | { seconds: number }): Promise<Sunset | null> {
  const [row] = await tx.query<Sunset & { future: boolean }>(
    `WITH ending AS MATERIALIZED (
       SELECT coalesce(date_trunc('milliseconds', $1::text::timestamptz AT TIME ZONE 'UTC'),
                       midctl_now() + make_interval(secs => $2::float8)) AS at, midctl_now() AS now)
     SELECT midctl_instant(e.at) AS "endsAt", e.at > e.now AS future,
            count(t.id) FILTER (WHERE t."machineIdentityId" IS NULL AND coalesce(t."expiresAt" > e.at, true))::float8 AS later,
            count(t.id) FILTER (WHERE t."machineIdentityId" IS NULL AND t."expiresAt" <= e.at)::float8 AS sooner,
            count(t.id) FILTER (WHERE t."machineIdentityId" IS NOT NULL)::float8 AS refused
       FROM ending e LEFT JOIN (${WITH_CREDENTIAL}) ON ${UNADOPTED}
      GROUP BY e.at, e.now`,
    "at" in end ? [end.at, null] : [null, end.seconds],
  );
  if (row === undefined || !row.future) return null;
  const { future: _future, ...sunset } = row;
  return sunset;
}

/** Ends every legacy token in force that has no end, or a later one, at that moment (RFC 3339); how many those were. */
export async function endLegacyTokens(tx: Tx, endsAt: string): Promise<number> {
  const [row] = await tx.query<{ ended: string }>(`SELECT midctl_end_legacy($1) AS ended`, [endsAt]);
  return Number(row?.ended ?? 0);
}

/** What a token is kept as, hex; null where there is none. */
export async function readTokenHash(tx: Tx, publicId: string): Promise<string | null> {
  const [row] = await tx.query<{ tokenHash: string }>(
    `SELECT "tokenHash" FROM agent_token WHERE "publicId" = $1`,
    [publicId],
  );
  return row?.tokenHash ?? null;
}
