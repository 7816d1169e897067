import type { Tx } from "../db/database.ts";

/** What one batch came to. */
export interface SealedBatch {
  /** Events that no longer wait: 10,000 at most, and then there may be more. */
  readonly taken: number;
  /** Those of them that were sealed; the others had been deleted meanwhile. */
  readonly sealed: number;
}

/** The most events of one batch, as the database has it. */
export const BATCH_MOST = 10_000;

/**
 * Seals the agent events that wait, at most 10,000, where one of them has waited for so long; none where somebody else is at it.
 * @param ripe milliseconds
 */
export async function sealBatch(tx: Tx, ripe: number): Promise<SealedBatch> {
  const [row] = await tx.query<SealedBatch>("SELECT taken, sealed FROM midctl_seal_events($1::int)", [ripe]);
  return row ?? { taken: 0, sealed: 0 };
}

/** How many events wait to be sealed: what was deleted meanwhile does not. */
export async function countUnsealed(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    "SELECT count(*)::float8 AS count FROM midctl_event_unsealed u JOIN agent_audit_event e ON e.id = u.id",
  );
  return row?.count ?? 0;
}

/** How many have waited for so many seconds; null for whoever may not read that, as before a new `db grant`. */
export async function countOverdue(tx: Tx, seconds: number): Promise<number | null> {
  const [right] = await tx.query<{ reads: boolean }>(
    "SELECT has_table_privilege('midctl_event_unsealed', 'SELECT') AS reads",
  );
  if (right?.reads !== true) return null;
  const [row] = await tx.query<{ count: number }>(
    `SELECT count(*)::float8 AS count FROM midctl_event_unsealed u CROSS JOIN midctl_log_head h
      WHERE NOT h.closed AND u.at <= clock_timestamp() - make_interval(secs => $1::float8)`,
    [seconds],
  );
  return row?.count ?? 0;
}

/**
 * Whether whoever asks sees every event, and whose it is: a host's row-level security may hide some, and nothing can be said of
 * those. By a policy that shows everything, as `db grant` makes it, all are seen.
 */
export async function seesEvents(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ sees: boolean | null }>(
    `SELECT bool_and(NOT row_security_active(name) OR (
              SELECT bool_and(p.polpermissive) AND bool_or(p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) = 'true') FROM pg_policy p
               WHERE p.polrelid = to_regclass(name) AND p.polcmd IN ('*', 'r')
                 AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(r, 'member')))) IS TRUE) AS sees
       FROM unnest(ARRAY['agent_audit_event', 'agent_token', 'machine_identity']) AS name`,
  );
  return row?.sees === true;
}

/** What the entry of a batch says. */
export interface BatchEntry {
  /** Of the entry. */
  readonly index: number;
  readonly batch: number | null;
  readonly count: number | null;
  /** Base64. */
  readonly root: string | null;
}

/** The entries of batches by index, `from` on and before `until`; at most `limit`. */
export async function readBatches(tx: Tx, from: number, until: number, limit: number): Promise<BatchEntry[]> {
  const rows = await tx.query<{ index: number; details: Readonly<Record<string, unknown>> | null }>(
    `SELECT l."index"::float8 AS "index", l.entry::jsonb -> 'details' AS details FROM midctl_log l
      WHERE l.action = 'events.seal' AND l."index" >= $1::bigint AND l."index" < $2::bigint ORDER BY l."index" LIMIT $3::int`,
    [from, until, limit],
  );
  return rows.map(({ index, details }) => ({
    index,
    batch: wholeOf(details?.batch),
    count: wholeOf(details?.count),
    root: typeof details?.root === "string" ? details.root : null,
  }));
}

function wholeOf(value: unknown): number | null {
  return Number.isSafeInteger(value) ? (value as number) : null;
}

/** A sealed event: its seal, and its row as it is now. */
export interface SealRow {
  readonly batch: number;
  readonly position: number;
  /** Public id of the event; those that follow are of whose it was when it was sealed. */
  readonly id: string;
  readonly token: string | null;
  readonly identity: string | null;
  readonly workspace: string | null;
  readonly leaf: Uint8Array;
  /** null where the row is gone. */
  readonly event: {
    readonly at: string | null;
    readonly action: string;
    readonly entityType: string | null;
    readonly entityId: string | null;
    readonly metadata: string | null;
    /** Whether it is still whose it was, as far as a host and its cascades leave that to be seen. */
    readonly own: boolean;
  } | null;
}

/** Of these batches, in their order; `after` leaves out that place and all before it. */
export async function readSealed(
  tx: Tx,
  batches: readonly number[],
  after: { readonly batch: number; readonly position: number } | null,
  limit: number,
): Promise<SealRow[]> {
  return tx.query<SealRow>(
    `WITH page AS MATERIALIZED (
       SELECT s.* FROM midctl_event_seal s
        WHERE s.batch = ANY ($1::bigint[]) AND ($2::text IS NULL OR (s.batch, s.position) > ($2::text::bigint, $3::text::int))
        ORDER BY s.batch, s.position LIMIT $4::int
     ), found AS MATERIALIZED (
       SELECT e."publicId", e."workspaceId", e."agentTokenId", e."machineIdentityId", e.action, e."entityType", e."entityId", e.metadata, e."createdAt"
         FROM agent_audit_event e WHERE e."publicId" IN (SELECT p."publicId" FROM page p)
     ), place AS MATERIALIZED (
       SELECT w.id, midctl_workspace_public_id(w.id) AS "publicId" FROM (SELECT DISTINCT "workspaceId" AS id FROM found) w WHERE w.id IS NOT NULL)
     SELECT p.batch::float8 AS batch, p.position, p."publicId" AS id, p.token, p.identity, p.workspace, p.leaf,
            CASE WHEN e."publicId" IS NOT NULL THEN jsonb_build_object(
              'at', to_char(e."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'action', e.action,
              'entityType', e."entityType", 'entityId', e."entityId", 'metadata', e.metadata,
              'own', (e."agentTokenId" IS NULL OR t."publicId" IS NOT DISTINCT FROM p.token)
                 AND CASE WHEN p.identity IS NOT NULL THEN i."publicId" IS NOT DISTINCT FROM p.identity
                          -- What a token did before its adoption may have been attributed since, to whom the log says.
                          ELSE e."machineIdentityId" IS NULL OR EXISTS (
                            SELECT FROM midctl_log l WHERE l.credential = p.token AND l.action = 'credential.adopt' AND l.identity = i."publicId") END
                 AND w."publicId" IS NOT DISTINCT FROM p.workspace) END AS event
       FROM page p
       LEFT JOIN found e ON e."publicId" = p."publicId"
       LEFT JOIN agent_token t ON t.id = e."agentTokenId"
       LEFT JOIN machine_identity i ON i.id = e."machineIdentityId"
       LEFT JOIN place w ON w.id = e."workspaceId"
      ORDER BY p.batch, p.position`,
    [`{${batches.join(",")}}`, after?.batch ?? null, after?.position ?? null, limit],
  );
}

/** What a log's entry says of the sealed events that went with a workspace. */
export interface Pruned {
  /** How many they were; of an old entry those too that were not sealed. */
  readonly count: number;
  /** Hex, their hash, as `PrunedSeals` makes it; null in an old entry. */
  readonly seals: string | null;
}

/** By the first entry that says it, of a workspace by its public id; null where none does, or the workspace is there. */
export async function readPruned(tx: Tx, workspace: string): Promise<Pruned | null> {
  const [row] = await tx.query<{ details: Readonly<Record<string, unknown>> | null; there: boolean }>(
    `SELECT l.entry::jsonb -> 'details' AS details, midctl_is_workspace($1::text) AS there FROM midctl_log l
      WHERE l.action = 'workspace.delete' AND l.entry::jsonb #>> '{details,workspace}' = $1::text
      ORDER BY l."index" LIMIT 1`,
    [workspace],
  );
  if (row === undefined || row.there) return null;
  const { sealed, seals, events } = row.details ?? {};
  const isTold = typeof seals === "string";
  return { count: wholeOf(isTold ? sealed : events) ?? 0, seals: isTold ? seals : null };
}

/** Those of many that are told by name, and how many there are. */
export interface Some {
  readonly count: number;
  /** Public ids of events, the first ones. */
  readonly ids: readonly string[];
}

function some(rows: readonly { readonly id: string; readonly count: number }[]): Some {
  return { count: rows[0]?.count ?? 0, ids: rows.map(({ id }) => id) };
}

/** Events that are neither sealed nor wait to be: none of those that were written with the triggers on. */
export async function readUnqueued(tx: Tx, limit: number): Promise<Some> {
  return some(
    await tx.query<{ id: string; count: number }>(
      `SELECT e."publicId" AS id, count(*) OVER ()::float8 AS count FROM agent_audit_event e
        WHERE NOT EXISTS (SELECT FROM midctl_event_seal s WHERE s."publicId" = e."publicId")
          AND NOT EXISTS (SELECT FROM midctl_event_unsealed u WHERE u.id = e.id)
        ORDER BY e.id LIMIT $1::int`,
      [limit],
    ),
  );
}

/** Seals of batches that no entry of the log tells of. */
export async function readUntold(tx: Tx, limit: number): Promise<Some> {
  return some(
    await tx.query<{ id: string; count: number }>(
      `SELECT s."publicId" AS id, count(*) OVER ()::float8 AS count FROM midctl_event_seal s
        WHERE NOT EXISTS (SELECT FROM midctl_log l WHERE l.action = 'events.seal' AND l.entry::jsonb #>> '{details,batch}' = s.batch::text)
        ORDER BY s.batch, s.position LIMIT $1::int`,
      [limit],
    ),
  );
}
