import type { Tx } from "../db/database.ts";
import { credentialState } from "./credential.ts";
import type { Barred } from "./token-facts.ts";

export interface Counts {
  readonly identities: Readonly<Record<string, number>>;
  readonly credentials: Readonly<Record<string, number>>;
  readonly legacyTokens: number;
}

/**
 * How many there are of each effective status. Rows without a parent are decided in one pass; only the others need a
 * walk up their line each.
 */
export async function countByStatus(tx: Tx): Promise<Counts> {
  const [identities, credentials, legacy] = await Promise.all([
    tx.query<{ status: string; count: string }>(
      `SELECT CASE WHEN i."parentId" IS NOT NULL THEN midctl_identity_state(i.id, n.now)
                   WHEN i.status = 'revoked' THEN 'revoked' WHEN i."expiresAt" <= n.now THEN 'expired'
                   WHEN i.status = 'paused' OR midctl_is_idle(i, n.now) THEN 'paused' ELSE 'active' END AS status,
              count(*)::text AS count
         FROM (SELECT midctl_now() AS now) n, machine_identity i GROUP BY 1`,
    ),
    tx.query<{ status: string; count: string }>(
      `SELECT CASE WHEN i."parentId" IS NULL AND i.status = 'active' AND i."expiresAt" IS NULL AND i."idleTtl" IS NULL
                     AND c.status = 'active' AND coalesce(c."expiresAt" > n.now, true) THEN 'active'
                   ELSE ${credentialState("n.now")} END AS status,
              count(*)::text AS count
         FROM (SELECT midctl_now() AS now) n,
              machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId" GROUP BY 1`,
    ),
    tx.query<{ count: string }>(
      `SELECT count(*)::text AS count FROM agent_token WHERE "machineIdentityId" IS NULL`,
    ),
  ]);
  const table = (rows: { status: string; count: string }[]): Record<string, number> =>
    Object.fromEntries(rows.map((row) => [row.status, Number(row.count)]));
  return {
    identities: table(identities),
    credentials: table(credentials),
    legacyTokens: Number(legacy[0]?.count ?? 0),
  };
}

/** What the server says of itself, for `status`, `db status` and `doctor`. */
export interface ServerFacts {
  readonly version: string;
  readonly versionNumber: number;
  readonly database: string;
  readonly sessionUser: string;
  readonly superuser: boolean;
  readonly standby: boolean;
  readonly readOnly: boolean;
  readonly fsync: boolean;
  readonly timeZone: string;
  /** Milliseconds since the epoch by the database's clock. */
  readonly clock: number;
  /** Bytes. */
  readonly size: number;
}

export async function readServer(tx: Tx): Promise<ServerFacts> {
  const [row] = await tx.query<Omit<ServerFacts, "clock"> & { readonly clock: number }>(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS "versionNumber",
            current_database() AS database, session_user::text AS "sessionUser",
            coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = session_user), false) AS superuser,
            pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS "readOnly",
            current_setting('fsync') = 'on' AS fsync, current_setting('TimeZone') AS "timeZone",
            (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS clock,
            pg_database_size(current_database())::float8 AS size`,
  );
  if (row === undefined) throw new Error("a query without FROM gave no row");
  return row;
}

/** Why nothing can be decided on here, or null: a standby may not have heard of a revocation, a moved database never will. */
export async function readBarred(tx: Tx): Promise<Barred | null> {
  const [row] = await tx.query<{ barred: Barred | null }>(
    `SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' WHEN closed THEN 'moved' END AS barred FROM midctl_log_head`,
  );
  return row === undefined ? "standby" : row.barred;
}

/** Length of the log by its head, and how many entries there are and the last one's index: all three must agree. */
export interface LogFacts {
  readonly head: number | null;
  readonly entries: number;
  readonly last: number | null;
}

/** Null for whoever may not read the log, as a verifier. */
export async function readLogFacts(tx: Tx): Promise<LogFacts | null> {
  const [right] = await tx.query<{ reads: boolean }>(
    "SELECT has_table_privilege('midctl_log', 'SELECT') AS reads",
  );
  if (right?.reads !== true) return null;
  const [row] = await tx.query<LogFacts>(
    `SELECT (SELECT size::float8 FROM midctl_log_head) AS head, (SELECT count(*)::float8 FROM midctl_log) AS entries,
            (SELECT max("index")::float8 FROM midctl_log) AS last`,
  );
  return row ?? { head: null, entries: 0, last: null };
}

/** The guards as they stand: every trigger of ours with its table and whether it fires always, every function's source. */
export interface StandingGuards {
  readonly triggers: readonly {
    readonly table: string;
    readonly trigger: string;
    readonly always: boolean;
  }[];
  /** Name to SHA-256 of its source, hex. */
  readonly functions: Readonly<Record<string, string>>;
  /** Of every table beside ours: whether each holds for all rows, and for new ones. */
  readonly constraints: readonly {
    readonly table: string;
    readonly name: string;
    readonly validated: boolean;
    readonly enforced: boolean;
  }[];
}

export async function readGuards(tx: Tx): Promise<StandingGuards> {
  const [triggers, functions, constraints] = await Promise.all([
    tx.query<{ table: string; trigger: string; always: boolean }>(
      `SELECT c.relname AS table, t.tgname AS trigger, t.tgenabled = 'A' AS always
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgname LIKE 'midctl\\_%'
          AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('machine_identity'))
        ORDER BY 1, 2`,
    ),
    tx.query<{ name: string; fingerprint: string }>(
      `SELECT proname AS name, encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') AS fingerprint
         FROM pg_proc WHERE proname LIKE 'midctl\\_%'`,
    ),
    // Before PostgreSQL 18 there is none that is not enforced, and no column that would say so.
    tx.query<StandingGuards["constraints"][number]>(
      `SELECT c.relname AS table, k.conname AS name, k.convalidated AS validated,
              coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS enforced
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype IN ('c', 'u', 'p', 'f')
          AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('machine_identity'))`,
    ),
  ]);
  return {
    triggers,
    functions: Object.fromEntries(functions.map((row) => [row.name, row.fingerprint])),
    constraints,
  };
}

/** A legacy token that deserves a word in `doctor`. */
export interface LegacyFinding {
  /** Public id. */
  readonly publicId: string;
  readonly name: string;
  /** RFC 3339; null for no end. */
  readonly expiresAt: string | null;
}

/** Legacy tokens in force, and what of them is urgent. */
export interface LegacyFacts {
  readonly unadopted: number;
  /** With a machine identity and no credential: they authenticate nobody. */
  readonly refused: number;
  /** Used within the last 7 days and ending within the next 30, the soonest first; at most ten. */
  readonly ending: readonly LegacyFinding[];
  readonly endingCount: number;
  /** RFC 3339: the end that the last sunset set; null where there was none. */
  readonly sunset: string | null;
  /** Made after the last sunset, and living on beyond it; at most ten. */
  readonly later: readonly LegacyFinding[];
  readonly laterCount: number;
}

export async function readLegacyFacts(tx: Tx): Promise<LegacyFacts> {
  const finding = `jsonb_build_object('publicId', "publicId", 'name', name, 'expiresAt', midctl_instant("expiresAt"))`;
  const some = (from: string, order: string): string =>
    `(SELECT coalesce(jsonb_agg(${finding} ORDER BY ${order}, "publicId"), '[]') FROM (SELECT * FROM ${from} ORDER BY ${order}, "publicId" LIMIT 10) few)`;
  const [row] = await tx.query<LegacyFacts>(
    `WITH clock AS MATERIALIZED (SELECT midctl_now() AS now),
     open AS MATERIALIZED (
       SELECT t.id, t."publicId", t.name, t."machineIdentityId", t."createdAt", t."expiresAt", t."lastUsedAt" FROM clock, agent_token t LEFT JOIN machine_identity_credential c ON c."publicId" = t."publicId"
        WHERE c.id IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > clock.now, true)),
     legacy AS MATERIALIZED (SELECT * FROM open WHERE "machineIdentityId" IS NULL),
     ending AS (SELECT l.* FROM clock, legacy l
                 WHERE l."expiresAt" <= clock.now + interval '30 days' AND l."lastUsedAt" >= clock.now - interval '7 days'),
     -- A host that changes an end says nothing of itself: an operator's change is a sunset.
     sunset AS MATERIALIZED (
       SELECT l.at, l.entry::jsonb #>> '{details,expiresAt,1}' AS ends FROM midctl_log l
        WHERE l.action = 'token.update' AND l.entry::jsonb #>> '{actor,kind}' = 'operator' ORDER BY l."index" DESC LIMIT 1),
     later AS (SELECT l.* FROM sunset s, legacy l
                WHERE l."createdAt" > (s.at::timestamptz AT TIME ZONE 'UTC')
                  AND coalesce(l."expiresAt" > (s.ends::timestamptz AT TIME ZONE 'UTC'), true))
     SELECT (SELECT count(*)::float8 FROM legacy) AS unadopted,
            (SELECT count(*)::float8 FROM open WHERE "machineIdentityId" IS NOT NULL) AS refused,
            ${some("ending", '"expiresAt"')} AS ending, (SELECT count(*)::float8 FROM ending) AS "endingCount",
            (SELECT ends FROM sunset) AS sunset,
            ${some("later", '"createdAt"')} AS later, (SELECT count(*)::float8 FROM later) AS "laterCount"`,
  );
  if (row === undefined) throw new Error("a query without FROM gave no row");
  return row;
}
