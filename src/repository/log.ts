import type { Param, Tx } from "../db/database.ts";
import {
  type Bind,
  type EventCursor,
  type EventFilter,
  findSubjects,
  holds,
  NEWEST,
  newestOfAgents,
  newestOfLog,
  treeOf,
} from "./event-filter.ts";
import { lookedUp } from "./given.ts";
import { LONGEST_SHOWN, SHOWN_AT_ONCE } from "./log-size.ts";

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
  /** Of an entry that is too long to be shown: how many bytes it has, in `leftOut`, and nothing else of it. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface EventPage {
  readonly events: AuditEvent[];
  /** The last event that is shown where there are others; of a window, the last that was looked at. */
  readonly next: EventCursor | null;
  /** How many were looked at. */
  readonly scanned: number;
  /** Of those that are shown, as they are stored. */
  readonly bytes: number;
}

/** Columns of an `AuditEvent`, read from `LOG_SOURCE`. */
export const LOG_EVENT = `'log_' || l.index AS id, l.index::float8 AS "index", l.at, l.action,
  jsonb_build_object('kind', j.said #>> '{actor,kind}', 'name', l.actor, 'sessionUser', j.said ->> 'sessionUser') AS actor,
  CASE WHEN l.identity IS NOT NULL THEN (SELECT jsonb_build_object('slug', coalesce(j.said ->> 'slug', i.slug),
    'displayName', coalesce(i."displayName", j.said ->> 'slug')) FROM (SELECT) one LEFT JOIN machine_identity i ON i."publicId" = l.identity) END AS "machineIdentity",
  coalesce('mc_' || l.credential, 'at_' || (j.said ->> 'token')) AS credential,
  j.said ->> 'reason' AS reason, j.said ->> 'approval' AS approval,
  CASE WHEN j.said IS NULL THEN jsonb_build_object('leftOut', octet_length(l.entry)) ELSE j.said -> 'details' END AS details`;

/** Entries `l` of the log, each taken apart once; null where it is too long to be. */
export const LOG_SOURCE = `midctl_log l CROSS JOIN LATERAL (SELECT CASE WHEN octet_length(l.entry) <= ${LONGEST_SHOWN} THEN l.entry::jsonb END AS said OFFSET 0) j`;

/** The same, read from `AGENT_SOURCE`. */
export const AGENT_EVENT = `'ev_' || e."publicId" AS id, NULL::float8 AS "index", midctl_instant(e."createdAt") AS at, e.action,
  jsonb_build_object('kind', CASE WHEN i.id IS NOT NULL THEN 'machine_identity' WHEN t.id IS NOT NULL THEN 'legacy_token' ELSE 'unknown' END,
    'name', coalesce(i.slug, 'at_' || t."publicId"), 'sessionUser', NULL) AS actor,
  CASE WHEN i.id IS NOT NULL THEN jsonb_build_object('slug', i.slug, 'displayName', i."displayName") END AS "machineIdentity",
  CASE WHEN t."machineIdentityId" IS NOT NULL THEN 'mc_' || t."publicId" ELSE 'at_' || t."publicId" END AS credential,
  NULL::text AS reason, NULL::text AS approval,
  CASE WHEN octet_length(e.metadata) > ${LONGEST_SHOWN} THEN jsonb_build_object('entityType', e."entityType", 'entityId', e."entityId", 'leftOut', octet_length(e.metadata))
    ELSE jsonb_build_object('entityType', e."entityType", 'entityId', e."entityId", 'metadata', e.metadata) END AS details`;

/** Agents' events `e` with token `t` and machine identity `i`. */
export const AGENT_SOURCE = `agent_audit_event e
  LEFT JOIN agent_token t ON t.id = e."agentTokenId"
  LEFT JOIN machine_identity i ON i.id = coalesce(e."machineIdentityId", t."machineIdentityId")`;

/** What `grep` looks into, of a row `l` of the log. */
export function logHolds(sought: string, bind: Bind): string {
  // What JSON does not escape stands in the entry as it is: most entries need not be taken apart.
  const maybe = /["\\\p{Cc}]/u.test(sought) ? "" : `${holds("l.entry", sought, bind)} AND `;
  return (
    maybe +
    holds(
      `CASE WHEN j.said IS NULL THEN l.entry ELSE concat_ws(E'\\n', j.said ->> 'reason', (j.said -> 'details')::text) END`,
      sought,
      bind,
    )
  );
}

/** What `grep` looks into, of an agents' event `e`. */
export function agentHolds(sought: string, bind: Bind): string {
  return holds(`concat_ws(E'\\n', e."entityType", e."entityId", e.metadata)`, sought, bind);
}

interface KeyedEvent extends AuditEvent {
  readonly source: 0 | 1;
  readonly exact: string;
  readonly number: string;
  readonly bytes: number;
  /** How many fit, with those that there is no room for. */
  readonly fitting: number;
}
type WindowRow = { readonly [Key in keyof KeyedEvent]: KeyedEvent[Key] | null } & {
  readonly scanned: number;
  readonly end: EventCursor | null;
};

/**
 * The log and the agents' events together, newest first. Each side walks an index from the newest row that fits, however many
 * there are; what is shown is read of the page alone.
 *
 * With `grep`, for which there is no index, `window` rows that fit everything else are looked at and no more: `next` is where
 * they end.
 *
 * @param room bytes, as they are stored: the event with which they come to so much is the last
 */
export async function readEvents(
  tx: Tx,
  filter: EventFilter & { readonly limit: number; readonly cursor?: EventCursor },
  window = 0,
  room = SHOWN_AT_ONCE,
): Promise<EventPage> {
  const params: Param[] = [];
  const bind: Bind = (value) => `$${params.push(value)}`;
  const { cursor = null, limit, grep } = filter;
  const subjects = await findSubjects(tx, filter);
  // One more than the page shows whether there are others.
  const looked = grep === undefined ? limit + 1 : window;
  const tree = treeOf(filter, bind);
  const log = grep === undefined ? "true" : logHolds(grep, bind);
  const agents = grep === undefined ? "true" : agentHolds(grep, bind);
  const key = "k.source, k.exact, k.number";
  const rows = await tx.query<WindowRow>(
    `WITH RECURSIVE ${tree === null ? "" : `${tree},`}
     keys AS MATERIALIZED (
       SELECT * FROM ((${newestOfLog(filter, subjects, cursor, looked, bind)}) UNION ALL (${newestOfAgents(filter, subjects, cursor, looked, bind)})) sides
        ORDER BY ${NEWEST} LIMIT ${looked})
     SELECT shown.*, ${exactly("shown")} AS exact, shown.number::text AS number, whole.scanned, whole."end"
       FROM (SELECT count(*)::float8 AS scanned,
                    (SELECT jsonb_build_object('at', coalesce(${exactly("keys")}, keys.at), 'source', keys.source, 'number', keys.number::text)
                       FROM keys ORDER BY at, source, exact, number LIMIT 1) AS "end" FROM keys) whole
       LEFT JOIN (SELECT * FROM (SELECT fitting.*, count(*) OVER ()::float8 AS fitting,
             sum(bytes) OVER (ORDER BY ${NEWEST} ROWS UNBOUNDED PRECEDING) - bytes AS above FROM (SELECT * FROM (
           (SELECT found.*, ${key} FROM keys k CROSS JOIN ${lookedUp(LOG_SOURCE, "found", `${LOG_EVENT}, ${bytesOf("l.entry")}`, `l."index" = k.number AND ${log}`)} WHERE k.source = 0)
           UNION ALL
           (SELECT found.*, ${key} FROM keys k CROSS JOIN ${lookedUp(AGENT_SOURCE, "found", `${AGENT_EVENT}, ${bytesOf("e.metadata")}`, `e.id = k.number AND ${agents}`)} WHERE k.source = 1)
         ) details ORDER BY ${NEWEST} LIMIT ${limit + 1}) fitting) sized WHERE above < ${Math.trunc(room)}) shown ON true
      ORDER BY ${NEWEST.replace(/\b(\w+) DESC/g, "shown.$1 DESC")}`,
    params,
  );
  const [first] = rows;
  const found = first === undefined || first.id === null ? [] : (rows as unknown as KeyedEvent[]);
  const page = found.slice(0, limit);
  const scanned = first?.scanned ?? 0;
  const last = page.at(-1);
  let next: EventCursor | null = null;
  if (last !== undefined && last.fitting > page.length) {
    next = { at: last.source === 1 ? last.exact : last.at, source: last.source, number: last.number };
  } else if (grep !== undefined && scanned === looked) next = first?.end ?? null;
  const bytes = page.reduce((sum, event) => sum + event.bytes, 0);
  return { events: page.map(toEvent), next, scanned, bytes };
}

/** Of what is shown of a text. */
function bytesOf(column: string): string {
  return `CASE WHEN octet_length(${column}) <= ${LONGEST_SHOWN} THEN octet_length(${column}) ELSE 0 END::float8 AS bytes`;
}

/** To the microsecond, as an agent's event was stored. */
function exactly(row: string): string {
  return `to_char(${row}.exact, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

function toEvent(row: AuditEvent): AuditEvent {
  const { id, index, at, action, actor, machineIdentity, credential, reason, approval, details } = row;
  return { id, index, at, action, actor, machineIdentity, credential, reason, approval, details };
}

/** Whether there is a credential or a token of this public id, or the log says that there was. */
export async function isHeardOf(tx: Tx, publicId: string): Promise<boolean> {
  const [row] = await tx.query<{ heard: boolean }>(
    `SELECT EXISTS (SELECT FROM agent_token WHERE "publicId" = $1::text)
         OR EXISTS (SELECT FROM machine_identity_credential WHERE "publicId" = $1::text)
         OR EXISTS (SELECT FROM midctl_log l WHERE l.credential = $1::text)
         OR EXISTS (SELECT FROM midctl_log l WHERE l.action LIKE 'token.%' AND l.entry::jsonb ->> 'token' = $1::text) AS heard`,
    [publicId],
  );
  return row?.heard === true;
}

/** The exact text of one entry; null where the log has no such row. */
export async function readEntry(tx: Tx, index: number): Promise<string | null> {
  const [row] = await tx.query<{ entry: string }>(
    `SELECT entry FROM midctl_log WHERE "index" = $1::text::bigint`,
    [String(index)],
  );
  return row?.entry ?? null;
}
