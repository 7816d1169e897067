import type { Tx } from "../db/database.ts";
import type { CredentialStatus, EffectiveStatus } from "../domain/status.ts";
import { LISTED, lookedUp } from "./given.ts";

/** A credential as it is shown: instants are RFC 3339 in UTC. No secret, no hash. */
export interface Credential {
  readonly id: string;
  readonly identity: string;
  readonly name: string;
  readonly status: CredentialStatus;
  readonly effectiveStatus: EffectiveStatus;
  readonly scopes: readonly string[];
  readonly issuedAt: string;
  readonly issuedBy: string | null;
  readonly activatedAt: string | null;
  readonly activationDeadline: string | null;
  readonly expiresAt: string | null;
  readonly graceUntil: string | null;
  readonly pausedAt: string | null;
  readonly revokedAt: string | null;
  readonly replaces: string | null;
  readonly lastUsedAt: string | null;
  readonly adopted: boolean;
  readonly version: number;
}

const LIFE = `c.status, c."activationDeadline", c."expiresAt", c."graceUntil"`;

/** What a credential `c` amounts to at a moment, in SQL. Column by column: not everybody may read its hash. */
export function credentialState(at = "midctl_now()"): string {
  return `midctl_credential_state(c."machineIdentityId", ${LIFE}, ${at})`;
}

/** Whether a credential `c` is pending, current or in grace. */
export const IS_LIVE = `midctl_lives(${LIFE}, midctl_now())`;

/** Columns of a `Credential`, read from `machine_identity_credential c JOIN machine_identity i`. */
export const CREDENTIAL_COLUMNS = `'mc_' || c."publicId" AS id, i.slug AS identity, c.name, c.status,
  ${credentialState()} AS "effectiveStatus", c.scopes::jsonb AS scopes,
  midctl_instant(c."issuedAt") AS "issuedAt", c."issuedBy",
  midctl_instant(c."activatedAt") AS "activatedAt", midctl_instant(c."activationDeadline") AS "activationDeadline",
  midctl_instant(c."expiresAt") AS "expiresAt", midctl_instant(c."graceUntil") AS "graceUntil",
  midctl_instant(c."pausedAt") AS "pausedAt", midctl_instant(c."revokedAt") AS "revokedAt",
  (SELECT 'mc_' || r."publicId" FROM machine_identity_credential r WHERE r.id = c."replacesId") AS replaces,
  (SELECT midctl_instant(t."lastUsedAt") FROM agent_token t WHERE t."publicId" = c."publicId") AS "lastUsedAt",
  c.adopted, c.version`;

const CREDENTIALS = "machine_identity_credential";
const FROM = `FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"`;

export interface NewCredential {
  readonly publicId: string;
  readonly tokenHash: string;
  readonly tokenPrefix: string;
  /** The token says so; the database's environment must agree when the row is written. */
  readonly live: boolean;
  readonly identity: string;
  readonly name: string;
  readonly scopes: readonly string[];
  /** Seconds from now; null for never. */
  readonly expiresIn: number | null;
  /** RFC 3339, in place of `expiresIn`. */
  readonly expiresAt?: string | null;
  /** Seconds from now, cut at the expiry. */
  readonly activateWithin: number;
  /** `mc_…` without its prefix; null where there is nothing to replace. */
  readonly replaces: string | null;
  /** Seconds, at most a day. */
  readonly grace: number;
  readonly issuedBy: string;
}

/**
 * Writes a credential and its token in one statement; false where the environment is of the other kind by now. The
 * guards refuse whatever SPEC §3 does not allow.
 */
export async function insertCredential(tx: Tx, credential: NewCredential): Promise<boolean> {
  const rows = await tx.query(
    `WITH made AS (
       INSERT INTO machine_identity_credential
         ("publicId", "machineIdentityId", name, "tokenHash", scopes, "replacesId", "graceSeconds", "issuedBy", "activationDeadline", "expiresAt")
       SELECT $1, i.id, $2, $3, $4,
              (SELECT r.id FROM machine_identity_credential r WHERE r."publicId" = $5::text), $6::int, $7,
              LEAST(midctl_now() + make_interval(secs => $8::float8), ends.at), ends.at
         FROM machine_identity i, midctl_environment e,
              (SELECT coalesce($13::text::timestamptz AT TIME ZONE 'UTC', midctl_now() + make_interval(secs => $9::float8)) AS at) ends
        WHERE i.slug = $10 AND e.live = $11::boolean
       RETURNING *
     )
     INSERT INTO agent_token ("publicId", "workspaceId", name, "tokenPrefix", "tokenHash", scopes, "createdAt", "expiresAt", "machineIdentityId")
     SELECT made."publicId", i."workspaceId", i.slug || '/' || made.name, $12, made."tokenHash", made.scopes, made."issuedAt", made."expiresAt", i.id
       FROM made JOIN machine_identity i ON i.id = made."machineIdentityId"
     RETURNING 1 AS made`,
    [
      credential.publicId,
      credential.name,
      credential.tokenHash,
      JSON.stringify(credential.scopes),
      credential.replaces,
      credential.grace,
      credential.issuedBy,
      credential.activateWithin,
      credential.expiresIn,
      credential.identity,
      credential.live,
      credential.tokenPrefix,
      credential.expiresAt ?? null,
    ],
  );
  return rows.length > 0;
}

/**
 * Writes many credentials with their tokens in one statement, in the order given; how many: those whose environment is of the
 * other kind by now are left out.
 * @param credentials JSON texts: `publicId`, `tokenHash`, `environment`, `identity` (slug), `name`, `scopes` (a JSON text itself), in seconds
 *   `expiresIn` (null for never) and `activateWithin`; of a successor also `replaces` (public id) and, in seconds, `grace`
 */
export async function insertCredentials(
  tx: Tx,
  credentials: readonly string[],
  issuedBy: string,
): Promise<number> {
  const [row] = await tx.query<{ made: number }>(
    `WITH given AS MATERIALIZED (
       SELECT * FROM ROWS FROM (jsonb_to_recordset($1::text::jsonb)
         AS ("publicId" text, "tokenHash" text, environment text, identity text, name text, scopes text, "expiresIn" float8, "activateWithin" float8,
             replaces text, grace int)) WITH ORDINALITY),
     made AS (
       INSERT INTO machine_identity_credential
         ("publicId", "machineIdentityId", name, "tokenHash", scopes, "replacesId", "graceSeconds", "issuedBy", "activationDeadline", "expiresAt")
       SELECT g."publicId", i.id, g.name, g."tokenHash", g.scopes,
              (SELECT r.id FROM machine_identity_credential r WHERE r."publicId" = g.replaces), coalesce(g.grace, 0), $2,
              midctl_now() + make_interval(secs => LEAST(g."activateWithin", g."expiresIn")),
              CASE WHEN g."expiresIn" IS NOT NULL THEN midctl_now() + make_interval(secs => g."expiresIn") END
         FROM given g CROSS JOIN ${lookedUp("machine_identity", "i", "id", "slug = g.identity")}
         JOIN midctl_environment e ON e.live = (g.environment = 'live')
        ORDER BY g.ordinality
       RETURNING id, "publicId", "machineIdentityId", "tokenHash", name, scopes, "issuedAt", "expiresAt"),
     tokens AS (
       INSERT INTO agent_token ("publicId", "workspaceId", name, "tokenPrefix", "tokenHash", scopes, "createdAt", "expiresAt", "machineIdentityId")
       SELECT made."publicId", i."workspaceId", i.slug || '/' || made.name, CASE WHEN e.live THEN 'mid_live' ELSE 'mid_test' END, made."tokenHash", made.scopes, made."issuedAt", made."expiresAt", i.id
         FROM made CROSS JOIN ${lookedUp("machine_identity", "i", `id, slug, "workspaceId"`, `id = made."machineIdentityId"`)} CROSS JOIN midctl_environment e
        ORDER BY made.id
       RETURNING 1)
     SELECT count(*)::float8 AS made FROM tokens`,
    [`[${credentials.join(",")}]`, issuedBy],
  );
  return row?.made ?? 0;
}

/**
 * The credentials that were issued with one of these secrets, or have the public id of one, each with that public id as `given`;
 * where both are there, the one with the secret comes last.
 */
export async function readIssued(
  tx: Tx,
  secrets: readonly { readonly publicId: string; readonly hash: string }[],
): Promise<(Credential & { readonly given: string })[]> {
  const given = JSON.stringify(secrets.map(({ publicId, hash }) => ({ publicId, hash })));
  return tx.query(
    `WITH given AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS g("publicId" text, hash text)),
     found AS (
       SELECT c.id, g."publicId" AS given, true AS same FROM given g CROSS JOIN ${lookedUp(CREDENTIALS, "c", "id", `"tokenHash" = g.hash`)}
       UNION
       SELECT c.id, g."publicId", false FROM given g CROSS JOIN ${lookedUp(CREDENTIALS, "c", `id, "tokenHash"`, `"publicId" = g."publicId"`)} WHERE c."tokenHash" <> g.hash)
     SELECT ${CREDENTIAL_COLUMNS}, f.given ${FROM} JOIN found f ON f.id = c.id
      WHERE c.id = ANY (ARRAY (SELECT id FROM found)) ORDER BY f.same`,
    [given],
  );
}

/** A token to be adopted, by public id: whose credential it becomes, and under which name. */
export interface NewAdoption {
  readonly token: string;
  /** Slug. */
  readonly identity: string;
  readonly name: string;
}

/**
 * Makes credentials of tokens that are in use, and attaches those to the identities: the secrets stay what they are. The
 * guards refuse whatever does not repeat its token.
 */
export async function insertAdopted(
  tx: Tx,
  adoptions: readonly NewAdoption[],
  issuedBy: string,
): Promise<void> {
  const given = JSON.stringify(adoptions);
  await Promise.all([
    tx.query(
      `INSERT INTO machine_identity_credential
         ("publicId", "machineIdentityId", name, status, "tokenHash", scopes, adopted, "issuedBy", "expiresAt")
       SELECT t."publicId", i.id, g.name, 'active', t."tokenHash", t.scopes, true, $2,
              date_trunc('milliseconds', nullif(t."expiresAt", 'infinity'))
         FROM jsonb_to_recordset($1::text::jsonb) AS g(token text, identity text, name text)
         JOIN agent_token t ON t."publicId" = g.token
         JOIN machine_identity i ON i.slug = g.identity
        ORDER BY i.id, t.id`,
      [given, issuedBy],
    ),
    tx.query(
      `UPDATE agent_token t SET "machineIdentityId" = c."machineIdentityId"
         FROM jsonb_to_recordset($1::text::jsonb) AS g(token text)
         JOIN machine_identity_credential c ON c."publicId" = g.token
        WHERE t."publicId" = g.token AND t."machineIdentityId" IS NULL`,
      [given],
    ),
  ]);
}

export async function findCredential(tx: Tx, publicId: string): Promise<Credential | null> {
  const [row] = await tx.query<Credential>(`SELECT ${CREDENTIAL_COLUMNS} ${FROM} WHERE c."publicId" = $1`, [
    publicId,
  ]);
  return row ?? null;
}

/** A credential by what its token is kept as; proves nothing about the bearer. */
export async function findCredentialByHash(tx: Tx, tokenHash: string): Promise<Credential | null> {
  const [row] = await tx.query<Credential>(`SELECT ${CREDENTIAL_COLUMNS} ${FROM} WHERE c."tokenHash" = $1`, [
    tokenHash,
  ]);
  return row ?? null;
}

/** The credential that a secret was issued as, or else the one whose public id it has. */
export async function findIssued(
  tx: Tx,
  secret: { readonly publicId: string; readonly hash: string },
): Promise<Credential | null> {
  const [row] = await tx.query<Credential>(
    `SELECT ${CREDENTIAL_COLUMNS} ${FROM} WHERE c."tokenHash" = $1 OR c."publicId" = $2
      ORDER BY c."tokenHash" = $1 DESC LIMIT 1`,
    [secret.hash, secret.publicId],
  );
  return row ?? null;
}

/** All credentials of an identity, newest first. */
export async function readCredentials(tx: Tx, identity: string, limit: number): Promise<Credential[]> {
  return tx.query<Credential>(
    `SELECT ${CREDENTIAL_COLUMNS} ${FROM} WHERE i.slug = $1 ORDER BY c.id DESC LIMIT $2::int`,
    [identity, limit],
  );
}

/** What stands under one name: the current and the unexpired pending credential. */
export interface NameHolders {
  readonly current: Credential | null;
  readonly pending: Credential | null;
}

export async function readHolders(tx: Tx, identity: string, name: string): Promise<NameHolders> {
  const rows = await tx.query<Credential>(
    `SELECT ${CREDENTIAL_COLUMNS} ${FROM}
      WHERE i.slug = $1 AND c.name = $2 AND c.status IN ('pending', 'active', 'paused') AND ${IS_LIVE}
      ORDER BY c.id DESC`,
    [identity, name],
  );
  return {
    current: rows.find((row) => row.status !== "pending") ?? null,
    pending: rows.find((row) => row.status === "pending") ?? null,
  };
}

/** Who holds a name: the current credential of it, or the pending one. */
export interface NameHolder {
  readonly identity: string;
  readonly name: string;
  /** `mc_…` */
  readonly id: string;
  readonly scopes: readonly string[];
}

/** The current and pending credentials of identities: which names are taken, and by whom. */
export async function readTakenNames(tx: Tx, identities: readonly string[]): Promise<NameHolder[]> {
  return tx.query<NameHolder>(
    `SELECT i.slug AS identity, c.name, 'mc_' || c."publicId" AS id, c.scopes::jsonb AS scopes ${FROM}
      WHERE i.slug = ANY (${LISTED})
        AND c.status IN ('pending', 'active', 'paused') AND ${IS_LIVE}`,
    [JSON.stringify(identities)],
  );
}

/** Ids of every live credential of a name, newest first: pending, current, in grace. */
export async function readLive(tx: Tx, identity: string, name: string): Promise<string[]> {
  const rows = await tx.query<{ publicId: string }>(
    `SELECT c."publicId" ${FROM} WHERE i.slug = $1 AND c.name = $2 AND ${IS_LIVE} ORDER BY c.id DESC`,
    [identity, name],
  );
  return rows.map((row) => row.publicId);
}

/** Sets the stored status; the guards decide whether that is legal and fill in the instants. */
export async function setCredentialStatus(tx: Tx, publicId: string, status: CredentialStatus): Promise<void> {
  await tx.query(`UPDATE machine_identity_credential SET status = $2 WHERE "publicId" = $1`, [
    publicId,
    status,
  ]);
}

/** Abandons a pending credential in favour of one that the same transaction issues. */
export async function replacePending(tx: Tx, publicId: string, by: string): Promise<void> {
  await tx.query(
    `UPDATE machine_identity_credential SET status = 'abandoned', "replacedBy" = $2 WHERE "publicId" = $1 AND status = 'pending'`,
    [publicId, by],
  );
}

/** Locks a credential's identity, so that control actions take turns; the slug, or null where there is none. */
export async function lockOwner(tx: Tx, publicId: string): Promise<string | null> {
  const [row] = await tx.query<{ slug: string }>(
    `SELECT slug FROM machine_identity
      WHERE id = (SELECT "machineIdentityId" FROM machine_identity_credential WHERE "publicId" = $1)
      FOR NO KEY UPDATE`,
    [publicId],
  );
  return row?.slug ?? null;
}

/** Credential ids that begin so, for completion and "did you mean". */
export async function suggestCredentials(tx: Tx, prefix: string, limit = 50): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `SELECT 'mc_' || "publicId" AS id FROM machine_identity_credential WHERE "publicId" LIKE $1 || '%' ORDER BY id DESC LIMIT $2::int`,
    [prefix, limit],
  );
  return rows.map((row) => row.id);
}
