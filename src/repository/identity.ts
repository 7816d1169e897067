import type { Tx } from "../db/database.ts";
import type { EffectiveIdentityStatus, IdentityStatus } from "../domain/status.ts";
import { LISTED, lookedUp } from "./given.ts";

/** A machine identity as it is shown: instants are RFC 3339 in UTC, `idleTtl` is in seconds. */
export interface Identity {
  readonly slug: string;
  readonly publicId: string;
  readonly kind: "service" | "thread";
  readonly provider: string | null;
  readonly threadId: string | null;
  readonly displayName: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly parent: string | null;
  readonly workspace: string | null;
  readonly status: IdentityStatus;
  readonly effectiveStatus: EffectiveIdentityStatus;
  readonly expiresAt: string | null;
  readonly idleTtl: number | null;
  readonly createdAt: string;
  readonly createdBy: string | null;
  readonly lastUsedAt: string | null;
  readonly pausedAt: string | null;
  readonly revokedAt: string | null;
  readonly version: number;
}

/** Columns of an `Identity`, read from `machine_identity i`. */
export const IDENTITY_COLUMNS = `i.slug, i."publicId", i.kind, i.provider, i."threadId", i."displayName", i.owner, i.labels,
  (SELECT p.slug FROM machine_identity p WHERE p.id = i."parentId") AS parent,
  midctl_workspace_slug(i."workspaceId") AS workspace, i.status,
  midctl_identity_state(i.id, midctl_now()) AS "effectiveStatus",
  midctl_instant(i."expiresAt") AS "expiresAt", i."idleTtl"::float8 AS "idleTtl",
  midctl_instant(i."createdAt") AS "createdAt", i."registeredBy" AS "createdBy",
  midctl_instant(i."lastUsedAt") AS "lastUsedAt", midctl_instant(i."pausedAt") AS "pausedAt",
  midctl_instant(i."revokedAt") AS "revokedAt", i.version`;

export interface NewIdentity {
  readonly publicId: string;
  readonly slug: string;
  readonly displayName: string;
  readonly kind: "service" | "thread";
  readonly provider: string | null;
  readonly threadId: string | null;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly parent: string | null;
  readonly workspace: string | null;
  /** Life in seconds from now; null for no end. */
  readonly expiresIn: number | null;
  /** RFC 3339, in place of `expiresIn`. */
  readonly expiresAt?: string | null;
  /** In seconds. */
  readonly idleTtl: number | null;
  readonly createdBy: string;
}

/** Inserts an identity; false where one with this slug or thread is there already. */
export async function insertIdentity(tx: Tx, identity: NewIdentity): Promise<boolean> {
  const rows = await tx.query(
    `INSERT INTO machine_identity
       ("publicId", slug, "displayName", kind, provider, "threadId", owner, labels, "parentId", "workspaceId", "expiresAt", "idleTtl", "registeredBy")
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb,
       (SELECT id FROM machine_identity WHERE slug = $9::text),
       midctl_workspace_id($10::text),
       coalesce($14::text::timestamptz AT TIME ZONE 'UTC', midctl_now() + make_interval(secs => $11::float8)), $12::float8, $13)
     ON CONFLICT DO NOTHING
     RETURNING 1 AS made`,
    [
      identity.publicId,
      identity.slug,
      identity.displayName,
      identity.kind,
      identity.provider,
      identity.threadId,
      identity.owner,
      JSON.stringify(identity.labels),
      identity.parent,
      identity.workspace,
      identity.expiresIn,
      identity.idleTtl,
      identity.createdBy,
      identity.expiresAt ?? null,
    ],
  );
  return rows.length > 0;
}

/**
 * Inserts many identities in one statement, in the order given; how many were made: one whose slug or thread is there
 * already, or whose parent is not, is left out.
 * @param identities JSON texts, each a `NewIdentity` without `createdBy` and `expiresAt`; null is the slug as display name, or no label
 */
export async function insertIdentities(
  tx: Tx,
  identities: readonly string[],
  createdBy: string,
): Promise<number> {
  const [row] = await tx.query<{ made: number }>(
    `WITH given AS MATERIALIZED (
       SELECT * FROM ROWS FROM (jsonb_to_recordset($1::text::jsonb)
         AS ("publicId" text, slug text, "displayName" text, kind text, provider text, "threadId" text, owner text, labels jsonb,
             parent text, workspace text, "expiresIn" float8, "idleTtl" bigint)) WITH ORDINALITY),
     places AS MATERIALIZED (SELECT w.workspace, midctl_workspace_id(w.workspace) AS id FROM (SELECT DISTINCT workspace FROM given) w),
     made AS (
       INSERT INTO machine_identity
         ("publicId", slug, "displayName", kind, provider, "threadId", owner, labels, "parentId", "workspaceId", "expiresAt", "idleTtl", "registeredBy")
       SELECT g."publicId", g.slug, coalesce(g."displayName", g.slug), g.kind, g.provider, g."threadId", g.owner, coalesce(nullif(g.labels, 'null'), '{}'),
              p.id, w.id, CASE WHEN g."expiresIn" IS NOT NULL THEN midctl_now() + make_interval(secs => g."expiresIn") END, g."idleTtl", $2
         FROM given g JOIN places w ON w.workspace IS NOT DISTINCT FROM g.workspace
         LEFT JOIN ${lookedUp("machine_identity", "p", "id", "slug = g.parent")} ON true
        WHERE g.parent IS NULL OR p.id IS NOT NULL
        ORDER BY g.ordinality
       ON CONFLICT DO NOTHING RETURNING 1)
     SELECT count(*)::float8 AS made FROM made`,
    [`[${identities.join(",")}]`, createdBy],
  );
  return row?.made ?? 0;
}

/** What a set of new identities shares: services without parent or end, each in the workspace of a token. */
export interface NewService {
  readonly publicId: string;
  readonly slug: string;
  readonly displayName: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly workspace: string | null;
}

/** Inserts services in one statement; returns the slugs that were made, without those that were there already. */
export async function insertServices(
  tx: Tx,
  services: readonly NewService[],
  createdBy: string,
): Promise<string[]> {
  const rows = await tx.query<{ slug: string }>(
    `WITH given AS MATERIALIZED (
       SELECT * FROM jsonb_to_recordset($1::text::jsonb)
         AS g("publicId" text, slug text, "displayName" text, owner text, labels jsonb, workspace text)),
     places AS MATERIALIZED (SELECT w.workspace, midctl_workspace_id(w.workspace) AS id FROM (SELECT DISTINCT workspace FROM given) w)
     INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, labels, "workspaceId", "registeredBy")
     SELECT g."publicId", g.slug, g."displayName", 'service', g.owner, g.labels, p.id, $2
       FROM given g JOIN places p ON p.workspace IS NOT DISTINCT FROM g.workspace ORDER BY g.slug
     ON CONFLICT DO NOTHING RETURNING slug`,
    [JSON.stringify(services), createdBy],
  );
  return rows.map(({ slug }) => slug);
}

/** Locks those of these identities that there are, always in the same order, and reads them as they are then. */
export async function lockIdentities(tx: Tx, slugs: readonly string[]): Promise<Identity[]> {
  const [, identities] = await Promise.all([
    tx.query(
      `SELECT count(*)::int AS held FROM (
         SELECT 1 FROM machine_identity WHERE slug = ANY (${LISTED})
          ORDER BY id FOR NO KEY UPDATE) locked`,
      [JSON.stringify(slugs)],
    ),
    readIdentities(tx, slugs),
  ]);
  return identities;
}

/** Those of these slugs that there are, in no particular order. */
export async function readIdentities(tx: Tx, slugs: readonly string[]): Promise<Identity[]> {
  return tx.query<Identity>(
    `SELECT ${IDENTITY_COLUMNS} FROM machine_identity i WHERE i.slug = ANY (${LISTED})`,
    [JSON.stringify(slugs)],
  );
}

/** Slugs that are taken: each of `bases`, alone or with a number behind it (`bot`, `bot-2`). */
export async function readTakenSlugs(tx: Tx, bases: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ slug: string }>(
    `WITH bases AS MATERIALIZED (SELECT jsonb_array_elements_text($1::text::jsonb) AS base)
     SELECT slug FROM machine_identity WHERE slug IN (SELECT base FROM bases)
     UNION
     SELECT slug FROM machine_identity WHERE slug ~ '-[0-9]+$' AND regexp_replace(slug, '-[0-9]+$', '') IN (SELECT base FROM bases)`,
    [JSON.stringify(bases)],
  );
  return rows.map(({ slug }) => slug);
}

export async function findIdentity(tx: Tx, slug: string): Promise<Identity | null> {
  const [row] = await tx.query<Identity>(
    `SELECT ${IDENTITY_COLUMNS} FROM machine_identity i WHERE i.slug = $1`,
    [slug],
  );
  return row ?? null;
}

/** Of these threads those that are identities already. @param threads `<provider>-<threadId>` */
export async function readThreads(
  tx: Tx,
  threads: readonly { readonly provider: string; readonly threadId: string }[],
): Promise<{ readonly slug: string; readonly provider: string; readonly threadId: string }[]> {
  return tx.query(
    `SELECT i.slug, i.provider, i."threadId"
       FROM jsonb_to_recordset($1::text::jsonb) AS g(provider text, "threadId" text)
       JOIN machine_identity i ON i.provider = g.provider AND i."threadId" = g."threadId"`,
    [JSON.stringify(threads)],
  );
}

export async function findThread(tx: Tx, provider: string, threadId: string): Promise<Identity | null> {
  const [row] = await tx.query<Identity>(
    `SELECT ${IDENTITY_COLUMNS} FROM machine_identity i WHERE i.provider = $1 AND i."threadId" = $2`,
    [provider, threadId],
  );
  return row ?? null;
}

/**
 * Locks an identity against other control actions until the transaction ends, and reads it as it is then. Audit
 * events may still refer to it meanwhile (FOR NO KEY UPDATE).
 */
export async function lockIdentity(tx: Tx, slug: string): Promise<Identity | null> {
  const [locked, identity] = await Promise.all([
    tx.query(`SELECT 1 AS held FROM machine_identity WHERE slug = $1 FOR NO KEY UPDATE`, [slug]),
    findIdentity(tx, slug),
  ]);
  return locked.length === 0 ? null : identity;
}

/**
 * Stores what has come true by the clock, under the identity's lock: idle becomes paused, a pending credential past
 * its deadline abandoned (SPEC §3: "stored when next touched").
 */
export async function settleIdentity(tx: Tx, slug: string): Promise<void> {
  await settleIdentities(tx, [slug]);
}

/** As `settleIdentity`, of many that are locked. */
export async function settleIdentities(tx: Tx, slugs: readonly string[]): Promise<void> {
  await tx.query(
    `WITH meant AS MATERIALIZED (
       SELECT id FROM machine_identity WHERE slug = ANY (${LISTED})
     ), idle AS (
       UPDATE machine_identity i SET status = 'paused'
        WHERE id = ANY (ARRAY (SELECT id FROM meant)) AND status = 'active' AND midctl_is_idle(i, midctl_now())
     )
     UPDATE machine_identity_credential SET status = 'abandoned'
      WHERE "machineIdentityId" = ANY (ARRAY (SELECT id FROM meant))
        AND (status = 'pending') IS TRUE AND "activationDeadline" <= midctl_now()`,
    [JSON.stringify(slugs)],
  );
}

export async function setIdentityStatus(tx: Tx, slug: string, status: IdentityStatus): Promise<void> {
  await tx.query(`UPDATE machine_identity SET status = $2 WHERE slug = $1`, [slug, status]);
}

export interface IdentityChange {
  readonly displayName: string | null;
  readonly owner: string | null;
  /** The whole new set; null leaves it. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** Seconds from now; null leaves it. */
  readonly expiresIn: number | null;
  /** RFC 3339, in place of `expiresIn`. */
  readonly expiresAt?: string | null;
  readonly idleTtl: number | null;
}

export async function updateIdentityRow(tx: Tx, slug: string, change: IdentityChange): Promise<void> {
  await tx.query(
    `UPDATE machine_identity
        SET "displayName" = coalesce($2, "displayName"), owner = coalesce($3, owner),
            labels = coalesce($4::text::jsonb, labels),
            "expiresAt" = coalesce($7::text::timestamptz AT TIME ZONE 'UTC', midctl_now() + make_interval(secs => $5::float8), "expiresAt"),
            "idleTtl" = coalesce($6::float8::bigint, "idleTtl")
      WHERE slug = $1`,
    [
      slug,
      change.displayName,
      change.owner,
      change.labels === null ? null : JSON.stringify(change.labels),
      change.expiresIn,
      change.idleTtl,
      change.expiresAt ?? null,
    ],
  );
}

/** Slugs near a mistyped one, for "did you mean" and completion: same beginning first. */
export async function suggestSlugs(tx: Tx, prefix: string, limit = 50): Promise<string[]> {
  const rows = await tx.query<{ slug: string }>(
    `SELECT slug FROM machine_identity WHERE slug LIKE $1 || '%' ORDER BY slug LIMIT $2::int`,
    [prefix.replace(/[\\%_]/g, "\\$&"), limit],
  );
  return rows.map((row) => row.slug);
}

/** Whether this database has workspaces, as Kan's does: then every identity belongs to one. */
export interface Workspace {
  readonly hosted: boolean;
  readonly exists: boolean;
}

export async function readWorkspace(tx: Tx, slug: string | null): Promise<Workspace> {
  const [row] = await tx.query<Workspace>(
    `SELECT to_regclass('workspace') IS NOT NULL AS hosted, midctl_workspace_id($1::text) IS NOT NULL AS exists`,
    [slug],
  );
  return row ?? { hosted: false, exists: false };
}
