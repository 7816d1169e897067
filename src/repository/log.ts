import type { Tx } from "../db/database.ts";

/** One line of the audit: an entry of the log, or what an agent did. */
export interface AuditEvent {
  /** `log_<index>` or `ev_<publicId>`. */
  readonly id: string;
  /** Position in the log; null for an agent's event. */
  readonly index: number | null;
  readonly at: string;
  readonly action: string;
  readonly actor: {
    readonly kind: string;
    readonly name: string | null;
    readonly sessionUser: string | null;
  };
  readonly machineIdentity: { readonly slug: string; readonly displayName: string } | null;
  readonly credential: string | null;
  readonly reason: string | null;
  readonly approval: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface EventFilter {
  /** Slug. */
  readonly identity?: string;
  /** Public id. */
  readonly credential?: string;
  /** Exact, or a prefix followed by `*`. */
  readonly action?: string;
  /** RFC 3339: events at or after. */
  readonly since?: string;
  readonly limit: number;
  readonly cursor?: EventCursor;
}

/** The last event of a page: time, then source and number, break every tie. */
export interface EventCursor {
  readonly at: string;
  readonly source: 0 | 1;
  readonly number: string;
}

export interface EventPage {
  readonly events: AuditEvent[];
  readonly next: EventCursor | null;
}

interface EventRow extends AuditEvent {
  readonly source: 0 | 1;
  readonly number: string;
}

/**
 * The log and the agents' events together, newest first. Each side walks its own index to one page's length before
 * the two are merged, so the cost follows the page and not the tables.
 */
export async function readEvents(tx: Tx, filter: EventFilter): Promise<EventPage> {
  const params: (string | number | null)[] = [];
  const bind = (value: string | number): string => `$${params.push(value)}`;
  const log: string[] = [];
  const agent: string[] = [];

  if (filter.identity !== undefined) {
    const slug = bind(filter.identity);
    log.push(`l.identity = (SELECT "publicId" FROM machine_identity WHERE slug = ${slug}::text)`);
    agent.push(
      `coalesce(e."machineIdentityId", t."machineIdentityId") = (SELECT id FROM machine_identity WHERE slug = ${slug}::text)`,
    );
  }
  if (filter.credential !== undefined) {
    const id = bind(filter.credential);
    log.push(`l.credential = ${id}::text`);
    agent.push(`t."publicId" = ${id}::text`);
  }
  if (filter.action !== undefined) {
    const exact = !filter.action.endsWith("*");
    const action = bind(exact ? filter.action : `${filter.action.slice(0, -1).replace(/[\\%_]/g, "\\$&")}%`);
    log.push(exact ? `l.action = ${action}::text` : `l.action LIKE ${action}::text`);
    agent.push(exact ? `e.action = ${action}::text` : `e.action LIKE ${action}::text`);
  }
  // A busy host has a seal each second: they are there for whoever asks for them.
  if (filter.action === undefined) log.push("l.action <> 'events.seal'");
  if (filter.since !== undefined) {
    const since = bind(filter.since);
    log.push(`l.at >= ${since}::text`);
    agent.push(`e."createdAt" >= (${since}::text::timestamptz AT TIME ZONE 'UTC')`);
  }
  if (filter.cursor !== undefined) {
    const { at, source, number } = filter.cursor;
    const [a, s, n] = [bind(at), bind(source), bind(number)];
    log.push(`(l.at, 0, l.index) < (${a}::text, ${s}::int, ${n}::text::bigint)`);
    agent.push(
      `(date_trunc('milliseconds', e."createdAt"), 1, e.id) < (${a}::text::timestamptz AT TIME ZONE 'UTC', ${s}::int, ${n}::text::bigint)`,
    );
  }
  const limit = bind(filter.limit + 1);
  const where = (clauses: string[]): string => (clauses.length === 0 ? "" : `WHERE ${clauses.join(" AND ")}`);

  const rows = await tx.query<EventRow>(
    `SELECT * FROM ((SELECT 'log_' || l.index AS id, l.index::float8 AS "index", l.at, l.action,
             jsonb_build_object('kind', l.entry::jsonb #>> '{actor,kind}', 'name', l.actor, 'sessionUser', l.entry::jsonb ->> 'sessionUser') AS actor,
             CASE WHEN l.identity IS NOT NULL THEN jsonb_build_object('slug', l.entry::jsonb ->> 'slug',
               'displayName', coalesce((SELECT i."displayName" FROM machine_identity i WHERE i."publicId" = l.identity), l.entry::jsonb ->> 'slug')) END AS "machineIdentity",
             coalesce('mc_' || l.credential, 'at_' || (l.entry::jsonb ->> 'token')) AS credential,
             l.entry::jsonb ->> 'reason' AS reason, l.entry::jsonb ->> 'approval' AS approval,
             l.entry::jsonb -> 'details' AS details, 0 AS source, l.index::text AS number
        FROM midctl_log l ${where(log)} ORDER BY l.at DESC, l.index DESC LIMIT ${limit}::int)
     UNION ALL
     (SELECT 'ev_' || e."publicId", NULL, midctl_instant(e."createdAt"), e.action,
             jsonb_build_object('kind', CASE WHEN i.id IS NOT NULL THEN 'machine_identity' WHEN t.id IS NOT NULL THEN 'legacy_token' ELSE 'unknown' END,
               'name', coalesce(i.slug, 'at_' || t."publicId"), 'sessionUser', NULL),
             CASE WHEN i.id IS NOT NULL THEN jsonb_build_object('slug', i.slug, 'displayName', i."displayName") END,
             CASE WHEN t."machineIdentityId" IS NOT NULL THEN 'mc_' || t."publicId" ELSE 'at_' || t."publicId" END,
             NULL, NULL,
             jsonb_build_object('entityType', e."entityType", 'entityId', e."entityId", 'metadata', e.metadata),
             1, e.id::text
        FROM agent_audit_event e
        LEFT JOIN agent_token t ON t.id = e."agentTokenId"
        LEFT JOIN machine_identity i ON i.id = coalesce(e."machineIdentityId", t."machineIdentityId")
        ${where(agent)} ORDER BY date_trunc('milliseconds', e."createdAt") DESC, e.id DESC LIMIT ${limit}::int)
     ) both_sides ORDER BY at DESC, source DESC, number::bigint DESC LIMIT ${limit}::int`,
    params,
  );
  const page = rows.slice(0, filter.limit);
  const last = page.at(-1);
  return {
    events: page.map(({ source: _source, number: _number, ...event }) => event),
    next:
      rows.length > filter.limit && last !== undefined
        ? { at: last.at, source: last.source, number: last.number }
        : null,
  };
}

/** The exact text of one entry; null where the log has no such row. */
export async function readEntry(tx: Tx, index: number): Promise<string | null> {
  const [row] = await tx.query<{ entry: string }>(
    `SELECT entry FROM midctl_log WHERE "index" = $1::text::bigint`,
    [String(index)],
  );
  return row?.entry ?? null;
}
