import { MidctlError } from "../domain/errors.ts";
import type { Database, OwnTx, Tx } from "./database.ts";
import { withdrawAll } from "./grants.ts";
import { hasTable } from "./history.ts";
import { MADE_BY_US } from "./host.ts";
import type { Undo } from "./host-identity.ts";
import { readMigrations } from "./migrations.ts";
import { readIndexName, splitStatements } from "./statements.ts";
import { takeTurn, takeTurnIn } from "./turn.ts";

/** What would be lost with the schema, and therefore keeps it. */
export interface Dependents {
  readonly identities: number;
  /** Agent tokens with an identity; where midctl made the table itself, all of them. */
  readonly tokens: number;
  readonly events: number;
}

/** A line of an export: a row of a table that a rollback removes. */
export interface RemovedRow {
  readonly table: string;
  readonly row: Readonly<Record<string, unknown>>;
}

const HOST_TABLES = ["agent_token", "agent_audit_event", "workspace"] as const;
/** Those whose rows an export keeps, by a key that they can be walked by. Labels repeat the identities'; none are left. */
const EXPORTED = {
  midctl_environment: "only",
  midctl_refused_use: '"publicId"',
  midctl_event_seal: '"publicId"',
  midctl_log: '"index"',
} as const;
const PAGE = 1000;

/** What depends on the schema now. */
export async function readDependents(tx: Tx): Promise<Dependents> {
  const own = await readOwnTables(tx);
  const adopted = await hasAdopted(tx);
  const counted = (table: string) => {
    if (own.includes(table)) return `(SELECT count(*) FROM ${table})`;
    return adopted ? `(SELECT count(*) FROM ${table} WHERE "machineIdentityId" IS NOT NULL)` : "0";
  };
  const [row] = await tx.query<{ identities: string; tokens: string; events: string }>(
    `SELECT (SELECT count(*) FROM machine_identity) AS identities,
            ${counted("agent_token")} AS tokens, ${counted("agent_audit_event")} AS events`,
  );
  return {
    identities: Number(row?.identities),
    tokens: Number(row?.tokens),
    events: Number(row?.events),
  };
}

/** Every row that a rollback removes, page by page; the log last, and up to `entries`. */
export async function* readRemoved(db: Database, entries: number): AsyncGenerator<RemovedRow> {
  for (const [table, key] of Object.entries(EXPORTED)) {
    if (!(await hasTable(db, table))) continue;
    let after: string | null = null;
    for (;;) {
      const limit: string = table === "midctl_log" ? `AND "index" < ${entries}` : "";
      const rows: { key: string; row: Record<string, unknown> }[] = await db.query(
        `SELECT t.${key}::text AS key, to_jsonb(t) AS "row" FROM ${table} t
          WHERE ($1::text IS NULL OR t.${key} > $1::text::${table === "midctl_log" ? "bigint" : table === "midctl_environment" ? "boolean" : "text"}) ${limit}
          ORDER BY t.${key} LIMIT ${PAGE}`,
        [after],
      );
      for (const { row } of rows) yield { table, row };
      after = rows.at(-1)?.key ?? null;
      if (rows.length < PAGE || after === null) break;
    }
  }
}

/** How many entries the log has. */
export async function readLogSize(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ size: string }>("SELECT size FROM midctl_log_head");
  return Number(row?.size ?? 0);
}

/**
 * Takes the schema away again: what is ours goes, what was added to a host's tables goes, and its rows stay. Under the same
 * brief locks as `migrate`. A schema that was made in part goes too.
 * @param options.entries how long the log was when it was exported: one that has grown since is kept
 * @param options.dryRun does all of it, and rolls it back
 * @throws MidctlError `conflict` where anything depends on it, `unavailable` where the tables were in use all the time
 */
export async function rollback(
  db: Database,
  options: { readonly entries: number; readonly dryRun: boolean; readonly patience?: number },
): Promise<void> {
  const attempt = () =>
    takeTurnIn(
      db,
      async (tx) => {
        const own = await readOwnTables(tx);
        const undo = await readUndo(tx);
        const hosts = [...((await hasAdopted(tx)) ? await readHostTables(tx) : []), ...undo.tables];
        await tx.query("SELECT set_config('lock_timeout', '50ms', true)");
        await tx.script(`LOCK TABLE ${[...hosts, ...own].join(", ")} IN ACCESS EXCLUSIVE MODE`);
        requireNothing(await readDependents(tx));
        if ((await readLogSize(tx)) !== options.entries) {
          throw new MidctlError("conflict", "The log has grown meanwhile; nothing was removed.", {
            hint: "Run it again, with an export path that does not exist yet.",
          });
        }
        if (own.includes("midctl_grant")) await withdrawAll(tx);
        await remove(tx, own, hosts, undo);
        if (options.dryRun) throw new Rehearsed();
      },
      { removes: true },
    ).catch((error: unknown) => {
      if (!(error instanceof Rehearsed)) throw error;
    });
  await takeTurn(attempt, performance.now() + (options.patience ?? 60_000));
}

/** Rolls a dry run back. */
class Rehearsed extends Error {}

/** @throws MidctlError `conflict` that counts what depends on the schema */
export function requireNothing({ identities, tokens, events }: Dependents): void {
  if (identities + tokens + events === 0) return;
  throw new MidctlError(
    "conflict",
    `What midctl's tables hold is in use: ${count(identities, "machine identity", "machine identities")}, ${count(tokens, "agent token")}, ${count(events, "agent event")}. Nothing was removed.`,
    {
      hint: "Machine identities are for good: a rollback undoes an adoption that nobody has used yet.",
      details: { identities, tokens, events },
    },
  );
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

async function remove(
  tx: OwnTx,
  own: readonly string[],
  hosts: readonly string[],
  undo: Undo,
): Promise<void> {
  const [functions] = await tx.query<{ list: string | null }>(
    `SELECT string_agg(p.oid::regprocedure::text, ', ') AS list FROM pg_proc p
      WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.proname LIKE 'midctl\\_%'`,
  );
  const triggers = await tx.query<{ name: string; table: string }>(
    `SELECT quote_ident(g.tgname) AS name, g.tgrelid::regclass::text AS "table" FROM pg_trigger g
       JOIN pg_class c ON c.oid = g.tgrelid
      WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND NOT g.tgisinternal AND g.tgname LIKE 'midctl\\_%'`,
  );
  // One that a build left behind has no comment yet.
  const indexes = await tx.query<{ name: string }>(
    `SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid IN (to_regclass('agent_token'), to_regclass('agent_audit_event'), to_regclass('machine_identity'), to_regclass('machine_identity_credential'))
        AND (obj_description(i.indexrelid, 'pg_class') = $1 OR (NOT i.indisvalid AND c.relname = ANY ($2::text[])))`,
    [MADE_BY_US, `{${readIndexNames().join(",")}}`],
  );
  const kept = hosts.filter(
    (table) => table.startsWith("agent_") && !own.includes(table) && !undo.attributed.includes(table),
  );
  await tx.script(
    nameDependents([
      // Nothing cascades: what a host built upon them is its own, and keeps everything.
      ...triggers.map(({ name, table }) => `DROP TRIGGER ${name} ON ${table}`),
      ...(functions?.list ? [`DROP FUNCTION ${functions.list}`] : []),
      ...indexes.map(({ name }) => `DROP INDEX ${name}`),
      ...kept.map((table) => `ALTER TABLE ${table} DROP COLUMN "machineIdentityId"`),
      ...undo.statements,
      `DROP TABLE ${own.join(", ")}`,
    ]),
  );
}

/** One statement that runs all of these; where something else needs what they drop, PostgreSQL's own words say what. */
function nameDependents(statements: readonly string[]): string {
  return `DO $midctl_rollback$
DECLARE said text;
BEGIN
${statements.join(";\n")};
EXCEPTION WHEN dependent_objects_still_exist THEN
  GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
  RAISE EXCEPTION USING ERRCODE = 'MC002',
    MESSAGE = 'The application built upon midctl''s schema: ' || replace(said, E'\n', '; ') || '. Nothing was removed.',
    HINT = 'Drop or change it there, and run midctl db rollback again.',
    DETAIL = jsonb_build_object('dependents', string_to_array(said, E'\n'))::text;
END $midctl_rollback$`;
}

function readIndexNames(): string[] {
  return readMigrations()
    .filter(({ manner }) => manner === "concurrently")
    .flatMap(({ text }) => splitStatements(text).flatMap(({ sql }) => readIndexName(sql) ?? []));
}

/** Whether anything was added to a host's tables yet. */
async function hasAdopted(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT FROM midctl_migration WHERE name LIKE '%\\_host.sql') AS found",
  );
  return row?.found === true;
}

/** Our tables, and those of a host's that midctl made because it had none. */
async function readOwnTables(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c
      WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind = 'r'
        AND (c.relname LIKE 'midctl\\_%'
             OR (c.relname IN ('machine_identity', 'machine_identity_credential', 'agent_token', 'agent_audit_event')
                 AND obj_description(c.oid, 'pg_class') = $1))
      ORDER BY c.relname`,
    [MADE_BY_US],
  );
  return rows.map(({ name }) => name);
}

/** How a host's own identity tables become what they were; nothing where it had none. */
async function readUndo(tx: Tx): Promise<Undo> {
  const [row] = await tx.query<{ undo: Undo }>("SELECT undo FROM midctl_migration WHERE undo IS NOT NULL");
  return row?.undo ?? { tables: [], attributed: [], statements: [] };
}

async function readHostTables(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL`,
    [`{${HOST_TABLES.join(",")}}`],
  );
  return rows.map(({ name }) => name);
}
