import { MidctlError } from "../domain/errors.ts";
import type { Tx } from "./database.ts";
import { MADE_BY_US } from "./host.ts";

/** A table that a move takes along. */
interface Part {
  readonly table: string;
  /** What its rows are copied by, in an order that has a row after those that it refers to. */
  readonly key: string;
  /** Columns that say of a database what the move makes otherwise. */
  readonly own?: readonly string[];
}

/** In the order of foreign keys. */
const PARTS = [
  { table: "machine_identity", key: "id" },
  { table: "machine_identity_credential", key: "id" },
  { table: "agent_token", key: "id" },
  { table: "agent_audit_event", key: "id" },
  { table: "midctl_event_seal", key: "batch, position" },
  { table: "midctl_event_unsealed", key: "id" },
  { table: "midctl_identity_label", key: '"machineIdentityId", key' },
  { table: "midctl_refused_use", key: '"publicId"' },
  { table: "midctl_environment", key: '"only"', own: ["movedTo"] },
  { table: "midctl_log", key: '"index"' },
  { table: "midctl_log_tile", key: "level, position" },
  { table: "midctl_log_head", key: '"only"', own: ["closed"] },
] as const satisfies readonly Part[];

export type CopiedTable = (typeof PARTS)[number]["table"];
export const COPIED_TABLES: readonly CopiedTable[] = PARTS.map(({ table }) => table);
/**
 * What stays: requests are made and campaigns begun again where the database goes, leases are of verifiers that ask here, the queue is always empty, rights are of this server's roles, what was verified is the log as it lay here, and each
 * schema has a history of its own.
 */
export const LEFT_TABLES = [
  "midctl_plan",
  "midctl_approval",
  "midctl_approval_line",
  "midctl_approval_vote",
  "midctl_campaign",
  "midctl_campaign_target",
  "midctl_verifier",
  "midctl_log_queue",
  "midctl_grant",
  "midctl_log_evidence",
  "midctl_migration",
] as const;

/** Those of a database's that midctl itself makes a row in, once it is migrated. */
const BEGUN: readonly CopiedTable[] = [
  "midctl_environment",
  "midctl_log",
  "midctl_log_tile",
  "midctl_log_head",
];

/** Characters of JSON that are under way at once, and rows: memory stays bounded whatever the table. */
const BATCH = 2_000_000;
const BATCH_ROWS = 5_000;
const FIRST_ROWS = 100;
/** How long a lock is waited for, ms: who comes after us waits behind us all that time. */
const LOCK_WAIT = 10_000;

/** Rows, and a sum of their SHA-256: the same on both sides, or a row is missing, doubled or altered. */
export interface Digest {
  readonly rows: number;
  readonly sum: string;
}

/**
 * Has a transaction to itself all that a move takes along, and the leases: nobody else writes to any of it until it ends.
 * Reading goes on.
 * @throws MidctlError `unavailable` where a writer holds on
 */
export async function holdStill(tx: Tx, tables: readonly string[] = COPIED_TABLES): Promise<void> {
  await tx.query(
    `SELECT set_config('lock_timeout', '${LOCK_WAIT}ms', true), set_config('statement_timeout', '0', true),
            set_config('idle_in_transaction_session_timeout', '0', true), set_config('bytea_output', 'hex', true)`,
  );
  await tx.query(`LOCK TABLE ${tables.join(", ")} IN SHARE ROW EXCLUSIVE MODE`);
}

/** Takes a lock that one transaction of one database can have, until that ends; false where another has it. */
export async function takeMark(tx: Tx, mark: string): Promise<boolean> {
  const [row] = await tx.query<{ taken: boolean }>("SELECT pg_try_advisory_xact_lock($1::bigint) AS taken", [
    mark,
  ]);
  return row?.taken === true;
}

/** Those of the tables of agents that an application made, and midctl only added to. */
export async function readForeignTables(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT name FROM unnest(ARRAY['agent_token', 'agent_audit_event']) AS name
      WHERE to_regclass(name) IS NOT NULL AND obj_description(to_regclass(name), 'pg_class') IS DISTINCT FROM $1`,
    [MADE_BY_US],
  );
  return rows.map(({ name }) => name);
}

/**
 * Copies every row from a database into one that has none, both held still: guards are off meanwhile, and always on again
 * afterwards; keys stay, and sequences go on behind them. Rows are compared before this returns.
 * @param to as the owner of its tables
 * @throws MidctlError `internal` where the copy is not the same
 */
export async function copyEverything(from: Tx, to: Tx): Promise<void> {
  await switchGuards(to, "off");
  for (const table of BEGUN) await to.query(`DELETE FROM ${table}`);
  for (const part of PARTS) await copyTable(from, to, part);
  await setSequences(to);
  await switchGuards(to, "on");
  for (const { table } of PARTS) {
    const [original, copy] = await Promise.all([readDigest(from, table), readDigest(to, table)]);
    if (original.rows === copy.rows && original.sum === copy.sum) continue;
    throw new MidctlError(
      "internal",
      `The copy of ${table} is not the same as the original (${copy.rows} rows of ${original.rows}); nothing was changed.`,
      { hint: "Report it, with the versions of both servers." },
    );
  }
}

/** What a table holds, or part of it. */
export async function readDigest(
  tx: Tx,
  table: CopiedTable,
  some: { readonly columns?: readonly string[]; readonly where?: string } = {},
): Promise<Digest> {
  const columns = some.columns ?? (await readColumns(tx, partOf(table)));
  const [row] = await tx.query<{ rows: number; sum: string }>(
    `SELECT count(*)::float8 AS rows,
            concat_ws(' ', sum(('x' || substr(h, 1, 15))::bit(60)::bigint), sum(('x' || substr(h, 16, 15))::bit(60)::bigint)) AS sum
       FROM (SELECT encode(sha256(convert_to(row_to_json(r)::text, 'UTF8')), 'hex') AS h
               FROM (SELECT ${names(columns)} FROM ${table} ${some.where === undefined ? "" : `WHERE ${some.where}`}) r) hashed`,
  );
  return row ?? { rows: 0, sum: "" };
}

async function copyTable(from: Tx, to: Tx, part: Part): Promise<void> {
  const [columns, wanted] = await Promise.all([readColumns(from, part), readColumns(to, part)]);
  if (columns.join() !== wanted.join()) {
    throw new MidctlError(
      "schema_version",
      `${part.table} has other columns on one side than on the other; nothing was changed.`,
      { hint: "Bring both up to this midctl: midctl db migrate." },
    );
  }
  const insert = `INSERT INTO ${part.table} (${names(columns)})
    SELECT ${names(columns)} FROM json_populate_recordset(NULL::${part.table}, $1::text::json)`;
  await from.query(
    `DECLARE midctl_copy NO SCROLL CURSOR FOR
      SELECT row_to_json(r)::text AS "row" FROM (SELECT ${names(columns)} FROM ${part.table} ORDER BY ${part.key}) r`,
  );
  for (let wish = FIRST_ROWS; ; ) {
    const rows = await from.query<{ row: string }>(`FETCH ${wish} FROM midctl_copy`);
    if (rows.length > 0) await to.query(insert, [`[${rows.map(({ row }) => row).join(",")}]`]);
    if (rows.length < wish) break;
    const length = rows.reduce((sum, { row }) => sum + row.length, 0);
    wish = Math.max(1, Math.min(BATCH_ROWS, wish * 4, Math.floor((BATCH * rows.length) / length)));
  }
  await from.query("CLOSE midctl_copy");
}

/** What can be written, in the order of the table. */
async function readColumns(tx: Tx, { table, own = [] }: Part): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
      WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attname`,
    [table],
  );
  return rows.map(({ name }) => name).filter((name) => !own.includes(name));
}

/** Each of our triggers on what is copied; nobody else's. */
async function switchGuards(tx: Tx, how: "off" | "on"): Promise<void> {
  const triggers = await tx.query<{ table: string; name: string }>(
    `SELECT tgrelid::regclass::text AS "table", quote_ident(tgname) AS name FROM pg_trigger
      WHERE tgrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
        AND NOT tgisinternal AND tgname LIKE 'midctl\\_%'`,
    [`{${COPIED_TABLES.join(",")}}`],
  );
  for (const { table, name } of triggers) {
    await tx.query(`ALTER TABLE ${table} ${how === "off" ? "DISABLE" : "ENABLE ALWAYS"} TRIGGER ${name}`);
  }
}

async function setSequences(tx: Tx): Promise<void> {
  const sequences = await tx.query<{ table: string; name: string }>(
    `SELECT name AS "table", pg_get_serial_sequence(name, 'id') AS name FROM unnest($1::text[]) AS name
      WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(name) AND attname = 'id')`,
    [`{${COPIED_TABLES.join(",")}}`],
  );
  for (const { table, name } of sequences) {
    await tx.query(`SELECT setval($1::regclass, coalesce(max(id), 1), max(id) IS NOT NULL) FROM ${table}`, [
      name,
    ]);
  }
}

function partOf(table: CopiedTable): Part {
  const part = PARTS.find((each) => each.table === table);
  if (part === undefined) throw new MidctlError("internal", `${table} is not copied.`);
  return part;
}

function names(columns: readonly string[]): string {
  return columns.map((name) => `"${name}"`).join(", ");
}
