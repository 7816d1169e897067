import type { OwnTx, Tx } from "./database.ts";
import { foreignKeyChange, loosen, nameDifferences } from "./host-differences.ts";
import { FILL_TOKENS, fillCredentials, fillIdentities } from "./host-fill.ts";
import { type HostTables, nameUnfitRows } from "./host-rows.ts";
import { readDraft, readShape, type TableShape } from "./host-shape.ts";
import type { Migration } from "./migrations.ts";
import { type Statement, splitStatements, type TableLock } from "./statements.ts";

/**
 * An application's own machine_identity tables, made the same as ours: what they lack is added, filled from what they say, and
 * every row kept. All of it, and whatever of ours touches these tables, comes in one transaction, in two parts: what touches
 * nothing of the host's first, and then, under brief locks, the rest.
 */
export interface IdentityAdoption {
  /** Before any lock: their function bodies name columns that are not there yet. */
  readonly first: readonly PlacedStatement[];
  /** The locks alone. */
  readonly lock: PlacedStatement;
  /** Under them. */
  readonly under: readonly PlacedStatement[];
  /** Once that is committed, on tables too large for a lock: each a transaction of its own. */
  readonly later: readonly PlacedStatement[];
  /** What it carries out, up to the one that adds to the host's tables. */
  readonly migrations: readonly Migration[];
  readonly undo: Undo;
  readonly host: HostTables;
}

export interface PlacedStatement extends Statement {
  readonly migration: string;
}

/** How a rollback makes a host's tables what they were. Kept in the migration history. */
export interface Undo {
  /** Of machine_identity and machine_identity_credential, those that are the host's. */
  readonly tables: readonly string[];
  /** Those whose `machineIdentityId` is the host's. */
  readonly attributed: readonly string[];
  /** In this order. */
  readonly statements: readonly string[];
}

const IDENTITY = "machine_identity";
const CREDENTIAL = "machine_identity_credential";
type IdentityTable = typeof IDENTITY | typeof CREDENTIAL;
const TABLES: readonly IdentityTable[] = [IDENTITY, CREDENTIAL];

/** The table that a statement of a migration makes, or adds to. */
const SUBJECT = /^(?:(?:CREATE|ALTER) TABLE|CREATE (?:UNIQUE )?INDEX "?\w+"? ON) "?(\w+)"?/;
const ATTRIBUTION = /^ALTER TABLE (\w+) ADD COLUMN IF NOT EXISTS "machineIdentityId" bigint\s+CONSTRAINT/;

/**
 * How a host's own identity tables are adopted; null where it has none.
 * @param tables those of the host's that there are
 * @returns the differences where it cannot be
 */
export async function planIdentities(
  tx: OwnTx,
  known: readonly Migration[],
  tables: readonly string[],
): Promise<{ readonly adoption: IdentityAdoption | null; readonly differences: readonly string[] }> {
  const present = TABLES.filter((table) => tables.includes(table));
  const attributed = await readAttributed(tx);
  if (present.length === 0 && attributed.length === 0) return { adoption: null, differences: [] };
  if (!present.includes(IDENTITY)) {
    const orphaned = [...present, ...attributed.map((table) => `${table}."machineIdentityId"`)];
    return { adoption: null, differences: orphaned.map((it) => `there is ${it} and no machine_identity`) };
  }
  const making = splitStatements(known[0]?.text ?? "").filter(({ sql }) =>
    TABLES.some((table) => SUBJECT.exec(sql)?.[1] === table),
  );
  const draft = await readDraft(tx, making, TABLES);
  const shapes = new Map<IdentityTable, TableShape>();
  for (const table of present) shapes.set(table, await readShape(tx, table));
  const host: HostTables = {
    identity: shapes.get(IDENTITY) ?? null,
    credential: shapes.get(CREDENTIAL) ?? null,
    attributed,
    users: await readColumns(tx, '"user"'),
    workspaces: await readColumns(tx, "workspace"),
  };
  const differences = present.flatMap((table) =>
    nameDifferences(table, shapeOf(shapes, table), shapeOf(draft, table)),
  );
  // Rows of another shape cannot be asked for what the rules speak of.
  if (differences.length === 0) differences.push(...(await nameUnfitRows(tx, host)));
  if (differences.length > 0) return { adoption: null, differences };
  return { adoption: await build(tx, known, host, shapes, draft), differences };
}

function shapeOf(shapes: ReadonlyMap<IdentityTable, TableShape>, table: IdentityTable): TableShape {
  const shape = shapes.get(table);
  if (shape === undefined) throw new Error(`${table} was not read`);
  return shape;
}

async function readAttributed(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.oid IN (to_regclass('agent_token'), to_regclass('agent_audit_event'))
        AND a.attname = 'machineIdentityId' AND NOT a.attisdropped ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

async function readColumns(tx: Tx, table: string): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT attname::text AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
    [table],
  );
  return rows.map(({ name }) => name);
}

/** One change of a host's table, and what takes it back. */
interface Change {
  readonly sql: string;
  readonly locks: readonly TableLock[];
  readonly undo: string | null;
}

const q = (name: string) => `"${name.replaceAll('"', '""')}"`;
const exclusive = (table: string): TableLock => ({ table, mode: "ACCESS EXCLUSIVE" });

async function build(
  tx: Tx,
  known: readonly Migration[],
  host: HostTables,
  shapes: ReadonlyMap<IdentityTable, TableShape>,
  draft: ReadonlyMap<IdentityTable, TableShape>,
): Promise<IdentityAdoption> {
  const tables = [...shapes.keys()];
  const migrations = known.slice(0, known.findIndex(({ manner }) => manner === "host") + 1);
  const origin = migrations[0]?.name ?? "";
  const place = (statement: Statement): PlacedStatement => ({ migration: origin, ...statement });
  const { first, deferred, hosts } = sortStatements(migrations, tables);

  const opened = tables.flatMap((table) => openTable(table, shapeOf(shapes, table), shapeOf(draft, table)));
  const attribution = await attribute(tx, host.attributed);
  const closed = tables.flatMap((table) =>
    closeTable(table, shapeOf(shapes, table), shapeOf(draft, table), readChecks(migrations)),
  );
  const filled: Change[] = [
    fill(fillIdentities(host), IDENTITY),
    ...(host.credential === null
      ? []
      : [fill(fillCredentials(host), CREDENTIAL), fill(FILL_TOKENS, "agent_token")]),
    // What a deferred key of the host's still has to check would keep the tables from being altered.
    { sql: "SET CONSTRAINTS ALL IMMEDIATE", locks: [], undo: null },
    { sql: "SET CONSTRAINTS ALL DEFERRED", locks: [], undo: null },
  ];
  const changes = [...opened, ...attribution.now, ...filled, ...closed];
  const locked = new Set([...tables, "agent_token", "agent_audit_event"]);
  for (const { locks } of changes) for (const { table } of locks) locked.add(table);
  const attributing = hosts.filter(({ sql }) => ATTRIBUTION.test(sql));
  return {
    first,
    lock: place({
      sql: `LOCK TABLE ${[...locked].join(", ")} IN ACCESS EXCLUSIVE MODE`,
      locks: [...locked].map(exclusive),
    }),
    under: [
      ...opened.map(place),
      ...attributing,
      ...[...attribution.now, ...filled, ...closed].map(place),
      ...deferred,
      ...hosts.filter((statement) => !attributing.includes(statement)),
    ],
    later: attribution.later.map(place),
    migrations,
    undo: {
      tables,
      attributed: host.attributed,
      statements: changes.flatMap(({ undo }) => undo ?? []).reverse(),
    },
    host,
  };
}

/** Apart: what can come before the locks, what cannot, and what is added to tokens and events. */
function sortStatements(
  migrations: readonly Migration[],
  tables: readonly string[],
): Record<"first" | "deferred" | "hosts", PlacedStatement[]> {
  const sorted = {
    first: [] as PlacedStatement[],
    deferred: [] as PlacedStatement[],
    hosts: [] as PlacedStatement[],
  };
  for (const { name, position, manner, text } of migrations) {
    for (const statement of splitStatements(text)) {
      const placed = { migration: name, ...statement };
      const subject = SUBJECT.exec(statement.sql)?.[1] ?? "";
      if (manner === "host") sorted.hosts.push(placed);
      else if (position === 1 && tables.includes(subject)) continue;
      else if (statement.locks.some(({ table }) => tables.includes(table))) sorted.deferred.push(placed);
      // It speaks of whatever there is by then.
      else if (statement.sql.startsWith("DO ")) sorted.deferred.push(placed);
      else sorted.first.push(placed);
    }
  }
  return sorted;
}

function fill(sql: string, table: string): Change {
  return { sql, locks: [{ table, mode: "ROW EXCLUSIVE" }], undo: null };
}

/** Keys that give way, columns that are missing, and what must be allowed to be empty. */
function openTable(table: IdentityTable, host: TableShape, ours: TableShape): Change[] {
  const changes: Change[] = [];
  for (const constraint of host.constraints.filter(({ kind }) => kind === "f")) {
    const what = foreignKeyChange(constraint, ours);
    if (what !== "drop" && what !== "loosen") continue;
    const drop = `ALTER TABLE ${table} DROP CONSTRAINT ${q(constraint.name)}`;
    const restore = `ADD CONSTRAINT ${q(constraint.name)} ${constraint.definition}`;
    const loosened = `, ADD CONSTRAINT ${q(constraint.name)} ${loosen(constraint.definition)}`;
    changes.push({
      sql: what === "drop" ? drop : drop + loosened,
      locks: [
        exclusive(table),
        ...(constraint.references === null ? [] : [exclusive(constraint.references)]),
      ],
      undo: what === "drop" ? `ALTER TABLE ${table} ${restore}` : `${drop}, ${restore}`,
    });
  }
  const doing: string[] = [];
  const undoing: string[] = [];
  for (const column of ours.columns.values()) {
    const found = host.columns.get(column.name);
    if (found === undefined) {
      doing.push(
        `ADD COLUMN ${q(column.name)} ${column.type}${column.default === null ? "" : ` DEFAULT ${column.default}`}`,
      );
      undoing.push(`DROP COLUMN ${q(column.name)}`);
    } else if (found.notNull && !column.notNull) {
      doing.push(`ALTER COLUMN ${q(column.name)} DROP NOT NULL`);
      undoing.push(
        found.notNullName === null
          ? `ALTER COLUMN ${q(column.name)} SET NOT NULL`
          : `ADD CONSTRAINT ${q(found.notNullName)} NOT NULL ${q(column.name)}`,
      );
    }
  }
  return [...changes, ...alter(table, doing, undoing)];
}

/** Checks in the words of the migration: PostgreSQL's own words for `IN`, read again, come out as others. */
function readChecks(migrations: readonly Migration[]): ReadonlyMap<string, string> {
  const found = (migrations[0]?.text ?? "").matchAll(/^ {2}CONSTRAINT "(\w+)" (CHECK .+?),?$/gm);
  return new Map([...found].map(([, name = "", check = ""]) => [name, check]));
}

/** What holds from then on: NOT NULL, defaults, keys, checks and indexes. */
function closeTable(
  table: IdentityTable,
  host: TableShape,
  ours: TableShape,
  checks: ReadonlyMap<string, string>,
): Change[] {
  const doing: string[] = [];
  const undoing: string[] = [];
  for (const column of ours.columns.values()) {
    const found = host.columns.get(column.name);
    if (column.notNull && found?.notNull !== true) {
      doing.push(`ALTER COLUMN ${q(column.name)} SET NOT NULL`);
      if (found !== undefined) undoing.push(`ALTER COLUMN ${q(column.name)} DROP NOT NULL`);
    }
    if (found === undefined || column.name === "id" || found.default === column.default) continue;
    const set = (value: string | null) =>
      `ALTER COLUMN ${q(column.name)} ${value === null ? "DROP DEFAULT" : `SET DEFAULT ${value}`}`;
    doing.push(set(column.default));
    undoing.push(set(found.default));
  }
  for (const { name, kind, definition } of ours.constraints) {
    if (kind === "p" || host.constraints.some((one) => one.name === name && one.definition === definition))
      continue;
    doing.push(`ADD CONSTRAINT ${q(name)} ${checks.get(name) ?? definition}`);
    undoing.push(`DROP CONSTRAINT ${q(name)}`);
  }
  const indexes = ours.indexes.filter(
    ({ name, constraint }) => !constraint && !host.indexes.some((one) => one.name === name),
  );
  return [
    ...alter(table, doing, undoing.reverse()),
    ...indexes.map(({ name, definition }) => ({
      sql: definition,
      locks: [{ table, mode: "SHARE" }],
      undo: `DROP INDEX ${q(name)}`,
    })),
  ];
}

function alter(table: string, doing: string[], undoing: string[]): Change[] {
  if (doing.length === 0) return [];
  return [
    {
      sql: `ALTER TABLE ${table}\n  ${doing.join(",\n  ")}`,
      locks: [exclusive(table)],
      undo: undoing.length === 0 ? null : `ALTER TABLE ${table} ${undoing.join(", ")}`,
    },
  ];
}

/** A host's own `machineIdentityId` gets our key where it has none: at once for what comes, and looked for in its rows later. */
async function attribute(
  tx: Tx,
  tables: readonly string[],
): Promise<{ readonly now: readonly Change[]; readonly later: readonly Statement[] }> {
  const now: Change[] = [];
  const later: Statement[] = [];
  for (const table of tables) {
    const shape = await readShape(tx, table);
    const keyed = shape.constraints.some(
      ({ kind, columns, references }) =>
        kind === "f" && columns.join() === "machineIdentityId" && references === IDENTITY,
    );
    if (keyed) continue;
    const name = q(`${table}_machineIdentityId_machine_identity_id_fk`);
    now.push({
      sql: `ALTER TABLE ${table} ADD CONSTRAINT ${name} FOREIGN KEY ("machineIdentityId") REFERENCES machine_identity(id) NOT VALID`,
      locks: [exclusive(table)],
      undo: `ALTER TABLE ${table} DROP CONSTRAINT ${name}`,
    });
    later.push({
      sql: `ALTER TABLE ${table} VALIDATE CONSTRAINT ${name}`,
      locks: [{ table, mode: "SHARE UPDATE EXCLUSIVE" }],
    });
  }
  return { now, later };
}
