import type { Tx } from "../db/database.ts";
import { toScopes } from "./token-facts.ts";

/** What an agent did, as a host writes it. Names the token by its public id; identity and workspace are the token's. */
export interface NewEvent {
  readonly publicId: string;
  readonly token: string;
  readonly action: string;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly metadata: string | null;
}

/**
 * Writes them all in one statement, or none where a token is not there: returns the public ids of those tokens. Only
 * columns that a host's own table has are named; "machineIdentityId" came with our schema. The time is given, since
 * the column's default is in the session's zone, which a host may set.
 */
export async function insertEvents(tx: Tx, events: readonly NewEvent[]): Promise<string[]> {
  const [row] = await tx.query<{ missing: string[] | null }>(
    `WITH clock AS MATERIALIZED (SELECT midctl_now() AS now),
     given AS MATERIALIZED (
       SELECT g.*, t.id AS "agentTokenId", t."workspaceId", t."machineIdentityId"
         FROM jsonb_to_recordset($1::text::jsonb) AS g(n int, "publicId" text, token text, action text, "entityType" text, "entityId" text, metadata text)
         LEFT JOIN agent_token t ON t."publicId" = g.token),
     missing AS MATERIALIZED (SELECT jsonb_agg(DISTINCT token) AS tokens FROM given WHERE "agentTokenId" IS NULL),
     written AS (
       INSERT INTO agent_audit_event
         ("publicId", "workspaceId", "agentTokenId", "machineIdentityId", action, "entityType", "entityId", metadata, "createdAt")
       SELECT "publicId", "workspaceId", "agentTokenId", "machineIdentityId", action, "entityType", "entityId", metadata, clock.now
         FROM given, clock, missing WHERE missing.tokens IS NULL ORDER BY n)
     SELECT tokens AS missing FROM missing`,
    [JSON.stringify(events.map((event, n) => ({ n, ...event })))],
  );
  return row?.missing ?? [];
}

/** One event with whom it is attributed to, as the recent activity shows it. */
export interface AgentAuditEvent {
  /** `ev_<publicId>` */
  readonly id: string;
  /** RFC 3339. */
  readonly at: string;
  readonly action: string;
  readonly entityType: string | null;
  readonly entityId: string | null;
  /** As the host stored it; null where there is none, and where it is left out. */
  readonly metadata: string | null;
  /** Size of metadata that is left out since it is too large to be shown, in bytes; else null. */
  readonly metadataLeftOut: number | null;
  /** Name to show: the machine identity's, else the token's own; null where both are gone. */
  readonly displayName: string | null;
  /** null where the host deleted it. */
  readonly token: {
    /** `at_<publicId>` */
    readonly id: string;
    readonly name: string;
    /** Its first characters, as the host keeps them to be recognized by. */
    readonly prefix: string;
    readonly scopes: readonly string[];
    readonly createdAt: string;
    readonly expiresAt: string | null;
    readonly lastUsedAt: string | null;
    readonly revokedAt: string | null;
  } | null;
  /** null for a legacy token. */
  readonly machineIdentity: {
    /** Public id. */
    readonly id: string;
    readonly slug: string;
    readonly displayName: string;
    readonly kind: "service" | "thread";
    readonly owner: string;
    /** `mc_<publicId>`; null where the event names none. */
    readonly credential: string | null;
  } | null;
}

/** Where a token's workspace is looked into. */
export interface Workplace {
  /** Internal number as text; null in a stand-alone database. */
  readonly workspaceId: string | null;
}

export async function findWorkplace(tx: Tx, token: string): Promise<Workplace | null> {
  const [row] = await tx.query<Workplace>(`SELECT "workspaceId" FROM agent_token WHERE "publicId" = $1`, [
    token,
  ]);
  return row ?? null;
}

/** Position of an event in the order of `readWorkspaceEvents`. */
export interface EventPosition {
  /** PostgreSQL's own text, in full precision. */
  readonly at: string;
  readonly number: string;
}

/** Where the event with this public id stands, if it is one of that workspace. */
export async function findEventPosition(
  tx: Tx,
  place: Workplace,
  publicId: string,
): Promise<EventPosition | null> {
  const [row] = await tx.query<EventPosition>(
    `SELECT date_trunc('milliseconds', "createdAt") AS at, id AS number FROM agent_audit_event
      WHERE "publicId" = $1 AND "workspaceId" IS NOT DISTINCT FROM $2::text::bigint`,
    [publicId, place.workspaceId],
  );
  return row ?? null;
}

/** How much is read. A host's rows have no bounds of their own, and what is too large is not even read. */
export interface EventBounds {
  readonly limit: number;
  /** Metadata of more bytes is left out. */
  readonly metadata: number;
  /** Reading ends with the event that brings all metadata to so many bytes. */
  readonly page: number;
}

/** As the database has them: scopes as the host's text, which may be anything. */
interface EventRow extends Omit<AgentAuditEvent, "token"> {
  readonly token: (Omit<NonNullable<AgentAuditEvent["token"]>, "scopes"> & { scopes: string | null }) | null;
  readonly found: number;
}

/** More bytes of scopes than the largest credential has; a host's token with more shows none. */
const SCOPES_MAX = 16 * 1024;

/**
 * The events of a workspace, newest first, along an index; `before` leaves out that position and all after it. `more`
 * says whether there are others within `limit` that were not read, or at least one beyond it.
 */
export async function readWorkspaceEvents(
  tx: Tx,
  place: Workplace,
  bounds: EventBounds,
  before: EventPosition | null,
): Promise<{ events: AgentAuditEvent[]; more: boolean }> {
  // Two texts, each with its own plan: IS NOT DISTINCT FROM uses no index.
  const where =
    place.workspaceId === null
      ? `e."workspaceId" IS NULL AND $2::text IS NULL`
      : `e."workspaceId" = $2::text::bigint`;
  const rows = await tx.query<EventRow>(
    `SELECT 'ev_' || e."publicId" AS id, midctl_instant(e."createdAt") AS at, e.action, e."entityType", e."entityId",
            CASE WHEN e.shown IS NOT NULL THEN e.metadata END AS metadata,
            CASE WHEN e.shown IS NULL THEN octet_length(e.metadata) END AS "metadataLeftOut",
            coalesce(i."displayName", t.name) AS "displayName",
            CASE WHEN t.id IS NOT NULL THEN jsonb_build_object('id', 'at_' || t."publicId", 'name', t.name, 'prefix', t."tokenPrefix",
              'scopes', CASE WHEN octet_length(t.scopes) <= $7::int THEN t.scopes END, 'createdAt', midctl_instant(t."createdAt"),
              'expiresAt', midctl_instant(t."expiresAt"), 'lastUsedAt', midctl_instant(t."lastUsedAt"),
              'revokedAt', midctl_instant(t."revokedAt")) END AS token,
            CASE WHEN i.id IS NOT NULL THEN jsonb_build_object('id', i."publicId", 'slug', i.slug, 'displayName', i."displayName",
              'kind', i.kind, 'owner', i.owner, 'credential', 'mc_' || c."publicId") END AS "machineIdentity",
            e.found
       FROM (SELECT p.*, count(*) OVER ()::int AS found,
                    coalesce(sum(p.shown) OVER (ORDER BY p.instant DESC, p.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS above
               FROM (SELECT e.*, date_trunc('milliseconds', e."createdAt") AS instant,
                            CASE WHEN e.metadata IS NULL THEN 0
                                 WHEN octet_length(e.metadata) <= $5::int THEN octet_length(e.metadata) END AS shown
                       FROM agent_audit_event e
                      WHERE ${where}
                        AND ($3::text IS NULL OR (date_trunc('milliseconds', e."createdAt"), e.id) < ($3::text::timestamp, $4::text::bigint))
                      ORDER BY date_trunc('milliseconds', e."createdAt") DESC, e.id DESC LIMIT $1::int + 1) p) e
       LEFT JOIN agent_token t ON t.id = e."agentTokenId"
       LEFT JOIN machine_identity i ON i.id = coalesce(e."machineIdentityId", t."machineIdentityId")
       LEFT JOIN machine_identity_credential c ON c."publicId" = t."publicId" AND c."machineIdentityId" = i.id
      WHERE e.above < $6::int
      ORDER BY e.instant DESC, e.id DESC LIMIT $1::int`,
    [
      bounds.limit,
      place.workspaceId,
      before?.at ?? null,
      before?.number ?? null,
      bounds.metadata,
      bounds.page,
      SCOPES_MAX,
    ],
  );
  return { events: rows.map(toEvent), more: (rows[0]?.found ?? 0) > rows.length };
}

function toEvent({ found: _, token, ...event }: EventRow): AgentAuditEvent {
  return { ...event, token: token === null ? null : { ...token, scopes: toScopes(token.scopes) } };
}
