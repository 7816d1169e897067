import type { Param, Tx } from "../db/database.ts";
import { agentTests, type Bind, type EventFilter, findSubjects, logTests, treeOf } from "./event-filter.ts";
import { lookedUp } from "./given.ts";
import {
  AGENT_EVENT,
  AGENT_SOURCE,
  type AuditEvent,
  agentHolds,
  LOG_EVENT,
  LOG_SOURCE,
  logHolds,
} from "./log.ts";

/** How far log and agents' events go, as one statement sees them. */
export interface Heads {
  /** Entries of the log. */
  readonly size: number;
  /** Hash of the last entry below the index asked for, in hex; null where there is none. */
  readonly leaf: string | null;
  /** The highest number of an agents' event that can be seen, as text; 0 where there is none. */
  readonly top: string;
}

/** null where the log has no head, as between a restore's tables and its rows. */
export async function readHeads(tx: Tx, next: number): Promise<Heads | null> {
  const [row] = await tx.query<Heads>(
    `SELECT h.size::float8 AS size, (SELECT encode("leafHash", 'hex') FROM midctl_log WHERE "index" = $1::float8::bigint - 1) AS leaf,
            coalesce((SELECT max(id) FROM agent_audit_event), 0)::text AS top
       FROM midctl_log_head h`,
    [next],
  );
  return row ?? null;
}

/**
 * Whether what is read here is there with all its rows. A restore, in one process or many, puts a table's triggers behind its rows; so
 * one without any is not done. Readable by everybody, also before a restore's last step, the rights.
 */
export async function readIsRestored(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ whole: boolean }>(
    `SELECT bool_and(EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass(n.name) AND NOT t.tgisinternal)) AS whole
       FROM unnest(ARRAY['midctl_log', 'midctl_log_head', 'machine_identity', 'machine_identity_credential', 'agent_token', 'agent_audit_event']) n(name)`,
  );
  return row?.whole === true;
}

/** Where entries, and events, begin that are not older than a moment: the first index, and the number before the first; or null. */
export async function findBeginning(
  tx: Tx,
  since: string | null,
): Promise<{ readonly index: number | null; readonly before: string | null }> {
  if (since === null) return { index: null, before: null };
  const [row] = await tx.query<{ index: number | null; before: string | null }>(
    `SELECT (SELECT min("index")::float8 FROM (SELECT "index" FROM midctl_log WHERE at >= $1::text OFFSET 0) l) AS "index",
            (SELECT (min(id) - 1)::text FROM (SELECT id FROM agent_audit_event
               WHERE date_trunc('milliseconds', "createdAt") >= ($1::text::timestamptz AT TIME ZONE 'UTC') OFFSET 0) e) AS before`,
    [since],
  );
  return row ?? { index: null, before: null };
}

/** When an entry was made; null where there is none. */
export async function readEntryTime(tx: Tx, index: number): Promise<string | null> {
  const [row] = await tx.query<{ at: string }>(
    `SELECT at FROM midctl_log WHERE "index" = $1::float8::bigint`,
    [index],
  );
  return row?.at ?? null;
}

/** The entries from one index to before another that fit, in their order. */
export async function readEntries(
  tx: Tx,
  filter: EventFilter,
  from: number,
  to: number,
): Promise<AuditEvent[]> {
  const params: Param[] = [];
  const bind: Bind = (value) => `$${params.push(value)}`;
  const subjects = await findSubjects(tx, filter);
  const tree = treeOf(filter, bind);
  const tests = [
    `l."index" >= ${bind(from)}::float8::bigint AND l."index" < ${bind(to)}::float8::bigint`,
    ...logTests(filter, subjects, bind),
    ...(filter.since === undefined ? [] : [`l.at >= ${bind(filter.since)}::text`]),
    ...(filter.grep === undefined ? [] : [logHolds(filter.grep, bind)]),
  ];
  return tx.query<AuditEvent>(
    `${tree === null ? "" : `WITH RECURSIVE ${tree}`} SELECT ${LOG_EVENT} FROM ${LOG_SOURCE} WHERE ${tests.join(" AND ")} ORDER BY l."index"`,
    params,
  );
}

/** Numbers of events, from one to another, both included; as text. */
export interface Numbers {
  readonly from: string;
  readonly to: string;
}

/** An event by its number, and whether it fits. */
export interface NumberedEvent extends AuditEvent {
  readonly number: string;
  readonly fits: boolean;
}

/** The events that can be seen with these numbers, at most so many of each range and in all, lowest first. */
export async function readNumbered(
  tx: Tx,
  filter: EventFilter,
  ranges: readonly Numbers[],
  limit: number,
): Promise<NumberedEvent[]> {
  const params: Param[] = [];
  const bind: Bind = (value) => `$${params.push(value)}`;
  const most = Math.trunc(limit);
  const subjects = await findSubjects(tx, filter);
  const tree = treeOf(filter, bind);
  const tests = [
    ...agentTests(filter, subjects, bind),
    ...(filter.since === undefined
      ? []
      : [
          `date_trunc('milliseconds', e."createdAt") >= (${bind(filter.since)}::text::timestamptz AT TIME ZONE 'UTC')`,
        ]),
    ...(filter.grep === undefined ? [] : [agentHolds(filter.grep, bind)]),
  ];
  const fits = tests.length === 0 ? "true" : `coalesce(${tests.join(" AND ")}, false)`;
  return tx.query<NumberedEvent>(
    `WITH RECURSIVE ${tree === null ? "" : `${tree},`}
     numbers AS MATERIALIZED (
       SELECT n.id FROM jsonb_to_recordset(${bind(JSON.stringify(ranges))}::text::jsonb) AS g("from" bigint, "to" bigint)
        CROSS JOIN LATERAL (SELECT id FROM agent_audit_event WHERE id BETWEEN g."from" AND g."to" ORDER BY id LIMIT ${most}) n
        ORDER BY n.id LIMIT ${most})
     SELECT found.* FROM numbers k CROSS JOIN ${lookedUp(AGENT_SOURCE, "found", `${AGENT_EVENT}, e.id::text AS number, ${fits} AS fits`, "e.id = k.id")} ORDER BY k.id`,
    params,
  );
}

/** The numbers of those that can be seen, lowest first. */
export async function readNumbers(tx: Tx, { from, to }: Numbers): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    "SELECT id::text AS id FROM agent_audit_event WHERE id BETWEEN $1::text::bigint AND $2::text::bigint ORDER BY agent_audit_event.id",
    [from, to],
  );
  return rows.map(({ id }) => id);
}

/** Who may yet bring an event with a number that was given out before. */
export interface Writers {
  /** Transactions that write events, each by a name that no other ever has. */
  readonly writing: readonly string[];
  /** Transactions from here on have not begun. */
  readonly next: string;
  /** Transactions below have ended. */
  readonly ended: string;
}

/** On a standby locks are not seen, and transaction ids alone tell. */
export async function readWriters(tx: Tx): Promise<Writers> {
  const [row] = await tx.query<Writers>(
    `SELECT coalesce((SELECT jsonb_agg(DISTINCT k.virtualtransaction) FROM pg_locks k
              WHERE k.locktype = 'relation' AND k.relation = 'agent_audit_event'::regclass AND k.mode = 'RowExclusiveLock' AND k.granted
                AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())), '[]') AS writing,
            pg_snapshot_xmax(s.now)::text AS next, pg_snapshot_xmin(s.now)::text AS ended
       FROM (SELECT pg_current_snapshot() AS now) s`,
  );
  return row ?? { writing: [], next: "0", ended: "0" };
}
