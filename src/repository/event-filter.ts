import type { Param, Tx } from "../db/database.ts";
import { SLUG_PATTERN } from "../domain/slug.ts";
import { lookedUp } from "./given.ts";

/** What narrows the audit down. Several must all fit. */
export interface EventFilter {
  /** Slug. */
  readonly identity?: string;
  /** With `identity`: everything below it too. */
  readonly descendants?: boolean;
  /** Public id, of a credential or of a token. */
  readonly credential?: string;
  /** Exact name; of agents a slug, or `at_…` for a token without identity. */
  readonly actor?: string;
  /** Exact, or a prefix followed by `*`. */
  readonly action?: string;
  /** RFC 3339 in UTC to the millisecond: events at or after. */
  readonly since?: string;
  /** RFC 3339 in UTC to the millisecond: events before. */
  readonly until?: string;
  /** Literal, in reason and details of the log, in entity and metadata of agents' events; whatever the case. */
  readonly grep?: string;
}

/** What a filter names, by the keys of its rows: bound to these, a statement is planned by how much there is of each. */
export interface Subjects {
  readonly identity: Subject;
  readonly credential: Subject;
  /** The identity or token that is the actor of agents' events. */
  readonly actor: Subject;
}
/** Nulls where there is none. */
interface Subject {
  /** Public id of the identity. */
  readonly publicId: string | null;
  /** The identity's number. */
  readonly identity: string | null;
  /** The token's number. */
  readonly token: string | null;
}
const NOBODY: Subject = { publicId: null, identity: null, token: null };

/** Looks them up, where the filter names any. */
export async function findSubjects(tx: Tx, filter: EventFilter): Promise<Subjects> {
  const { identity = null, credential = null, actor = null } = filter;
  if (identity === null && credential === null && actor === null) {
    return { identity: NOBODY, credential: NOBODY, actor: NOBODY };
  }
  const asToken = actor?.startsWith("at_") === true;
  const asIdentity = actor !== null && !asToken && SLUG_PATTERN.test(actor);
  const rows = await tx.query<Subject & { readonly what: keyof Subjects }>(
    `SELECT 'identity' AS what, "publicId", id::text AS identity, NULL::text AS token FROM machine_identity WHERE slug = $1::text
     UNION ALL SELECT 'actor', "publicId", id::text, NULL FROM machine_identity WHERE slug = $2::text
     UNION ALL SELECT 'actor', NULL, NULL, id::text FROM agent_token WHERE "publicId" = $3::text
     UNION ALL SELECT 'credential', NULL, NULL, id::text FROM agent_token WHERE "publicId" = $4::text`,
    [identity, asIdentity ? actor : null, asToken ? actor.slice(3) : null, credential],
  );
  const of = (what: keyof Subjects) => rows.find((row) => row.what === what) ?? NOBODY;
  return { identity: of("identity"), credential: of("credential"), actor: of("actor") };
}

/** Where a page begins: behind this event. Time, then source and number, break every tie. */
export interface EventCursor {
  /** RFC 3339; of an agent's event to the microsecond. */
  readonly at: string;
  /** 0: the log. 1: agents' events. */
  readonly source: 0 | 1;
  readonly number: string;
}

/** Binds a parameter of the statement and returns its place in it. */
export type Bind = (value: Param) => string;

/** Rows that lie side by side in an index, newest last: of one key, or of each of some keys (`k.key`). */
interface Stream {
  readonly where: string;
  /** A query for the keys, or null. */
  readonly keys: string | null;
}

/** One thing to narrow by: as streams of an index, and as a test of a row that something else has found. */
interface Narrowing {
  readonly streams: readonly Stream[];
  readonly test: string;
}

/** All of the identities below one, itself included: `tree`, a common table of the statement. */
export function treeOf(filter: EventFilter, bind: Bind): string | null {
  if (filter.identity === undefined || filter.descendants !== true) return null;
  return `tree AS (
    SELECT id, "publicId" FROM machine_identity WHERE slug = ${bind(filter.identity)}::text
    UNION ALL
    SELECT c.id, c."publicId" FROM tree CROSS JOIN ${lookedUp("machine_identity", "c", `id, "publicId"`, `"parentId" = tree.id`)})`;
}

/** What a row `l` of the log is tested by; without times, which go by the order that is read. */
export function logTests(filter: EventFilter, subjects: Subjects, bind: Bind): string[] {
  return logNarrowings(filter, subjects, bind).map(({ test }) => test);
}

/** The same of an agents' event `e`. */
export function agentTests(filter: EventFilter, subjects: Subjects, bind: Bind): string[] {
  return agentNarrowings(filter, subjects, bind).map(({ test }) => test);
}

/** The keys of the newest rows of the log that fit, newest first: `at`, `source`, `exact`, `number`. */
export function newestOfLog(
  filter: EventFilter,
  subjects: Subjects,
  cursor: EventCursor | null,
  limit: number,
  bind: Bind,
): string {
  const [first, ...others] = logNarrowings(filter, subjects, bind);
  const tests = others.map(({ test }) => test);
  if (filter.since !== undefined) tests.push(`l.at >= ${bind(filter.since)}::text`);
  if (filter.until !== undefined) tests.push(`l.at < ${bind(filter.until)}::text`);
  if (cursor !== null) {
    // At the same time agents' events come first.
    tests.push(
      cursor.source === 0
        ? `(l.at, l."index") < (${bind(cursor.at)}::text, ${bind(cursor.number)}::text::bigint)`
        : `l.at <= ${bind(toMilliseconds(cursor.at))}::text`,
    );
  }
  return newest(first?.streams ?? [EVERYTHING], {
    columns: `l.at, 0 AS source, NULL::timestamp AS exact, l."index" AS number`,
    table: "midctl_log l",
    order: `l.at DESC, l."index" DESC`,
    ranking: "at DESC, number DESC",
    time: { column: "l.at", name: "at", beginning: "''" },
    tests,
    limit,
  });
}

/** The same of the agents' events. */
export function newestOfAgents(
  filter: EventFilter,
  subjects: Subjects,
  cursor: EventCursor | null,
  limit: number,
  bind: Bind,
): string {
  const [first, ...others] = agentNarrowings(filter, subjects, bind);
  const tests = others.map(({ test }) => test);
  // Whatever has no key of its own walks the index by milliseconds, which is asked in milliseconds.
  const at = first === undefined ? `date_trunc('milliseconds', e."createdAt")` : `e."createdAt"`;
  if (filter.since !== undefined) tests.push(`${at} >= ${utc(filter.since, bind)}`);
  if (filter.until !== undefined) tests.push(`${at} < ${utc(filter.until, bind)}`);
  if (cursor?.source === 0) tests.push(`${at} < ${utc(cursor.at, bind)}`);
  if (cursor?.source === 1) {
    if (first === undefined) tests.push(`${at} <= ${utc(toMilliseconds(cursor.at), bind)}`);
    tests.push(`(e."createdAt", e.id) < (${utc(cursor.at, bind)}, ${bind(cursor.number)}::text::bigint)`);
  }
  const found = newest(first?.streams ?? [EVERYTHING], {
    columns: `e."createdAt" AS exact, e.id AS number`,
    table: "agent_audit_event e",
    order: `${first === undefined ? `${at} DESC, ` : ""}e."createdAt" DESC, e.id DESC`,
    ranking: "exact DESC, number DESC",
    time: { column: `e."createdAt"`, name: "exact", beginning: "'-infinity'::timestamp" },
    tests,
    limit,
  });
  // Written out for those alone that are among the newest: it takes longer than finding them.
  return `SELECT midctl_instant(f.exact) AS at, 1 AS source, f.exact, f.number FROM (${found}) f`;
}

/** Newest first, of a row of keys. */
export const NEWEST = "at DESC, source DESC, exact DESC, number DESC";

/** Whether a text holds what is looked for. @param text SQL that gives it */
export function holds(text: string, sought: string, bind: Bind): string {
  return `strpos(lower(${text}), lower(${bind(sought)}::text)) > 0`;
}

const EVERYTHING: Stream = { where: "true", keys: null };

/** By what narrows most, as a rule, first. */
function logNarrowings(filter: EventFilter, subjects: Subjects, bind: Bind): Narrowing[] {
  const found: Narrowing[] = [];
  if (filter.credential !== undefined) {
    const id = `${bind(filter.credential)}::text`;
    const ours = `l.credential = ${id}`;
    const legacy = `l.action LIKE 'token.%' AND l.entry::jsonb ->> 'token' = ${id}`;
    found.push({ streams: [of(ours), of(legacy)], test: `(${ours} OR (${legacy}))` });
  }
  if (filter.identity !== undefined && filter.descendants !== true) {
    found.push(single(`l.identity = ${bind(subjects.identity.publicId)}::text`));
  }
  if (filter.actor !== undefined) found.push(single(`l.actor = ${bind(filter.actor)}::text`));
  if (filter.identity !== undefined && filter.descendants === true) {
    found.push({
      streams: [{ where: "l.identity = k.key", keys: `SELECT "publicId" AS key FROM tree` }],
      test: `l.identity IN (SELECT "publicId" FROM tree)`,
    });
  }
  if (filter.action !== undefined) found.push(byAction(filter.action, "midctl_log", "l", bind));
  // A busy host has a seal each second: they are there for whoever asks for them.
  else found.push(single("l.action <> 'events.seal'"));
  return found;
}

function agentNarrowings(filter: EventFilter, subjects: Subjects, bind: Bind): Narrowing[] {
  const found: Narrowing[] = [];
  if (filter.credential !== undefined) found.push(byToken(subjects.credential, bind));
  if (filter.identity !== undefined && filter.descendants !== true) {
    found.push(byIdentity(subjects.identity, bind));
  }
  if (filter.actor !== undefined) {
    found.push(
      subjects.actor.token === null ? byIdentity(subjects.actor, bind) : byToken(subjects.actor, bind),
    );
  }
  if (filter.identity !== undefined && filter.descendants === true) {
    const tokens = `SELECT t.id AS key FROM tree CROSS JOIN ${lookedUp("agent_token", "t", "id", `"machineIdentityId" = tree.id`)}`;
    found.push({
      streams: [
        { where: `e."machineIdentityId" = k.key`, keys: "SELECT id AS key FROM tree" },
        { where: UNATTRIBUTED, keys: tokens },
      ],
      test: `(e."machineIdentityId" IN (SELECT id FROM tree) OR (e."machineIdentityId" IS NULL AND e."agentTokenId" IN (${tokens})))`,
    });
  }
  if (filter.action !== undefined) found.push(byAction(filter.action, "agent_audit_event", "e", bind));
  return found;
}

/** Of a token whose identity came later than the event, which does not name it. */
const UNATTRIBUTED = `e."agentTokenId" = k.key AND e."machineIdentityId" IS NULL`;

function byIdentity({ identity }: Subject, bind: Bind): Narrowing {
  const id = `${bind(identity)}::text::bigint`;
  const tokens = `SELECT t.id AS key FROM agent_token t WHERE t."machineIdentityId" = ${id}`;
  return {
    streams: [of(`e."machineIdentityId" = ${id}`), { where: UNATTRIBUTED, keys: tokens }],
    test: `(e."machineIdentityId" = ${id} OR (e."machineIdentityId" IS NULL AND e."agentTokenId" IN (${tokens})))`,
  };
}

function byToken({ token }: Subject, bind: Bind): Narrowing {
  return single(`e."agentTokenId" = ${bind(token)}::text::bigint`);
}

function byAction(action: string, table: string, row: string, bind: Bind): Narrowing {
  if (!action.endsWith("*")) return single(`${row}.action = ${bind(action)}::text`);
  const like = `LIKE ${bind(`${action.slice(0, -1).replace(/[\\%_]/g, "\\$&")}%`)}::text`;
  return {
    // From each action that there is to the next, by the index: there are few, however many rows have them.
    streams: [
      {
        where: `${row}.action = k.key`,
        keys: `WITH RECURSIVE each AS (
            (SELECT action FROM ${table} ORDER BY action LIMIT 1)
            UNION ALL
            SELECT (SELECT n.action FROM ${table} n WHERE n.action > each.action ORDER BY n.action LIMIT 1) FROM each WHERE each.action IS NOT NULL)
          SELECT action AS key FROM each WHERE action ${like}`,
      },
    ],
    test: `${row}.action ${like}`,
  };
}

function of(where: string): Stream {
  return { where, keys: null };
}

function single(where: string): Narrowing {
  return { streams: [of(where)], test: where };
}

interface Reading {
  readonly columns: string;
  readonly table: string;
  readonly order: string;
  /** The same order, of the columns that are read. */
  readonly ranking: string;
  /** The time that the rows are read by: its column, what it is called among the columns read, and what is before all of them. */
  readonly time: { readonly column: string; readonly name: "at" | "exact"; readonly beginning: string };
  readonly tests: readonly string[];
  readonly limit: number;
}

function newest(streams: readonly Stream[], reading: Reading): string {
  const parts = streams.map((stream) =>
    stream.keys === null
      ? read(stream.where, reading, reading.limit)
      : readOfEach(stream.where, stream.keys, reading),
  );
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return `SELECT * FROM (${parts.map((part) => `(${part})`).join(" UNION ALL ")}) streams ORDER BY ${reading.ranking} LIMIT ${reading.limit}`;
}

/**
 * The newest of all keys lie with those keys whose own newest is newest, and are no older than the last of these: so many keys at
 * most are read further, and no further than that, however many there are.
 */
function readOfEach(where: string, keys: string, reading: Reading): string {
  const { limit, time, ranking } = reading;
  const oldest = `CASE WHEN count(*) OVER () = ${limit} THEN min(h.${time.name}) OVER () ELSE ${time.beginning} END`;
  const further = { ...reading, tests: [...reading.tests, `${time.column} >= k.oldest`] };
  return `SELECT r.* FROM (
      SELECT h.key, ${oldest} AS oldest FROM (
        SELECT k.key, h.* FROM (${keys}) k CROSS JOIN LATERAL (${read(where, reading, 1)}) h ORDER BY ${ranking} LIMIT ${limit}) h) k
    CROSS JOIN LATERAL (${read(where, further, limit)}) r ORDER BY ${ranking} LIMIT ${limit}`;
}

/** Written out: with the limit bound, the plan for any limit looks dear and the server plans every page anew. */
function read(where: string, { columns, table, order, tests }: Reading, limit: number): string {
  return `SELECT ${columns} FROM ${table} WHERE ${[where, ...tests].join(" AND ")} ORDER BY ${order} LIMIT ${Math.trunc(limit)}`;
}

function utc(instant: string, bind: Bind): string {
  return `(${bind(instant)}::text::timestamptz AT TIME ZONE 'UTC')`;
}

function toMilliseconds(instant: string): string {
  return `${instant.slice(0, 23)}Z`;
}
