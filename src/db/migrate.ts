import { MidctlError } from "../domain/errors.ts";
import type { Database, OwnTx, Tx } from "./database.ts";
import { readSqlState } from "./failure.ts";
import {
  checkHistory,
  ensureHistory,
  HISTORY,
  hasTable,
  hasTakenIn,
  readAppliedNames,
  readHistory,
} from "./history.ts";
import { checkHost, type HostFound, MADE_BY_US, markOwn, refuseHost } from "./host.ts";
import type { IdentityAdoption } from "./host-identity.ts";
import { requireRights } from "./host-rights.ts";
import { nameUnfitRows } from "./host-rows.ts";
import { type PlannedStatement, scriptMigration } from "./migration-script.ts";
import { listMigrations, type Migration, readMigrations } from "./migrations.ts";
import { readIndexName, splitStatements } from "./statements.ts";
import { becomeOwner, inUse, LOCK_NOT_AVAILABLE, pinSearchPath, takeTurn, takeTurnIn } from "./turn.ts";

export interface MigrateOptions {
  /** Where the files are; those of this package unless told. */
  readonly directory?: string;
  /** Leaves out environment, database id and log head: for a data directory that is to be copied. */
  readonly bare?: boolean;
  /** How long, in ms, locks on a host's tables are tried for before this gives up: a minute unless told. */
  readonly patience?: number;
}

export interface MigrateResult {
  /** Names of the files that this run applied, in order. */
  readonly applied: readonly string[];
  /** The last file that the schema then has, or null where there are no migrations at all. */
  readonly current: string | null;
}

/** What a migration would do. */
export interface MigrationPlan extends MigrateResult {
  /** Whether the statements are all that it takes: the rows of a host's own identity tables are judged in between. */
  readonly byHand: boolean;
  readonly statements: readonly PlannedStatement[];
}

export interface SchemaState {
  readonly state: "absent" | "behind" | "current" | "newer";
  readonly applied: number;
  readonly known: number;
}

/** So long a lock on a host's table is waited for, ms: whoever comes after us waits behind us all that time. */
const BRIEF = 50;
const PATIENCE = 60_000;

/**
 * Brings the schema up to this program's, under one advisory lock, so that of any number of concurrent runs one applies a
 * file and the others find it done. What is ours alone comes in one transaction. What is added to a host's tables comes in
 * one of its own, which never has the host queue behind it for longer than 50 ms: it gives up and tries again. Indexes on
 * them are built while the host goes on. A run that ended in between is taken up where it stopped. Files already applied
 * must be unchanged and in order. Functions created `SET search_path FROM CURRENT` get the current schema and pg_temp.
 * @throws MidctlError `schema_version` for a newer schema, an edited file, a gap, or a host's tables of another shape;
 *   `denied` where this user may not make all of it, before anything is made; `unavailable` where a host's tables were in use all the time
 */
export async function migrate(db: Database, options: MigrateOptions = {}): Promise<MigrateResult> {
  const known = readMigrations(options.directory);
  const giveUpAt = performance.now() + (options.patience ?? PATIENCE);
  const applied: string[] = [];
  for (;;) {
    const step = await takeTurn(() => migrateStep(db, known, options), giveUpAt);
    applied.push(...step.applied);
    if (step.done) return { applied, current: known.at(-1)?.name ?? null };
  }
}

/**
 * What `migrate` would do, statement by statement, each with the locks that it takes on tables which others may be using.
 * Looks only, and locks nothing. Throws as `migrate` does.
 */
export async function planMigration(
  db: Database,
  options: { readonly directory?: string } = {},
): Promise<MigrationPlan> {
  const known = readMigrations(options.directory);
  return db.transaction(async (tx) => {
    await pinSearchPath(tx);
    const asker = await becomeOwner(tx);
    const begun = await hasTable(tx, HISTORY);
    const applied = begun ? await readHistory(tx) : [];
    checkHistory(applied, known);
    const missing = known.slice(applied.length);
    await requireRights(tx, missing, asker);
    const host = applied.length === 0 ? await checkHost(tx, known) : null;
    const script = await scriptMigration(tx, missing, known, begun ? null : (host?.tables ?? []));
    const adoption = host?.adoption ?? null;
    return {
      applied: missing.map(({ name }) => name),
      current: known.at(-1)?.name ?? null,
      byHand: adoption === null && !(begun && (await hasTakenIn(tx))),
      statements: adoption === null ? script : planAdoption(missing, adoption),
    };
  });
}

function planAdoption(files: readonly Migration[], adoption: IdentityAdoption): readonly PlannedStatement[] {
  const others = files.slice(adoption.migrations.length);
  return [
    ...adoption.first.map((statement) => ({ ...statement, manner: "together" as const })),
    ...[adoption.lock, ...adoption.under].map((statement) => ({ ...statement, manner: "host" as const })),
    ...adoption.later.map((statement) => ({ ...statement, manner: "concurrently" as const })),
    ...others.flatMap(({ name, manner, text }) =>
      splitStatements(text).map((statement) => ({ migration: name, manner, ...statement })),
    ),
  ];
}

/**
 * How the database's schema stands to this program's: one cheap query, no lock, no change. Not for use within a
 * transaction, which a database without our tables would fail.
 */
export async function readSchemaState(
  db: Database,
  options: { readonly directory?: string } = {},
): Promise<SchemaState> {
  const known = listMigrations(options.directory);
  const names = await readAppliedNames(db);
  const counts = { applied: names.length, known: known.length };
  if (names.some((name) => !known.includes(name))) return { state: "newer", ...counts };
  if (names.length === 0 && known.length > 0) return { state: "absent", ...counts };
  return { state: names.length < known.length ? "behind" : "current", ...counts };
}

interface Step {
  readonly applied: readonly string[];
  readonly done: boolean;
}

/** One transaction: the next files that go together, and environment and log head behind the last. */
async function migrateStep(
  db: Database,
  known: readonly Migration[],
  options: MigrateOptions,
): Promise<Step> {
  return takeTurnIn(db, async (tx, asker) => {
    const applied = (await hasTable(tx, HISTORY)) ? await readHistory(tx) : [];
    checkHistory(applied, known);
    const missing = known.slice(applied.length);
    await requireRights(tx, missing, asker);
    await ensureHistory(tx);
    const host = applied.length === 0 ? await checkHost(tx, known) : null;
    const now = host?.adoption?.migrations ?? nextTogether(missing);
    await applyAll(db, tx, now, host);
    if (host !== null) await markOwn(tx, host.tables);
    const done = now.length === missing.length;
    if (options.bare !== true && (done || (await isLogging(tx)))) await ensureEnvironment(tx);
    return { applied: now.map(({ name }) => name), done };
  });
}

/** The files that one transaction may hold: all up to one that wants to be alone, or that one. */
function nextTogether(missing: readonly Migration[]): readonly Migration[] {
  const alone = missing.findIndex(({ manner }) => manner !== "together");
  if (alone === 0) return missing.slice(0, 1);
  return alone < 0 ? missing : missing.slice(0, alone);
}

async function applyAll(
  db: Database,
  tx: OwnTx,
  migrations: readonly Migration[],
  host: HostFound | null,
): Promise<void> {
  const adoption = host?.adoption ?? null;
  for (const [index, migration] of migrations.entries()) {
    if (adoption === null) await apply(migration, () => run(db, tx, migration));
    else if (index === 0) await apply(migration, () => adoptIdentities(tx, adoption));
    await tx.query(
      "INSERT INTO midctl_migration (name, position, hash, undo) VALUES ($1, $2, $3, $4::text::jsonb)",
      [
        migration.name,
        migration.position,
        migration.hash,
        adoption !== null && index === 0 ? JSON.stringify(adoption.undo) : null,
      ],
    );
  }
}

/** The rows are judged again once nobody can change them. */
async function adoptIdentities(tx: OwnTx, adoption: IdentityAdoption): Promise<void> {
  // Whose rows row-level security hides from us are not adopted in part.
  await tx.script("SET LOCAL row_security = off; SET LOCAL check_function_bodies = off");
  await tx.script(adoption.first.map(({ sql }) => sql).join("\n;\n"));
  await tx.query("SELECT set_config('lock_timeout', $1::text, true)", [`${BRIEF}ms`]);
  await tx.script(adoption.lock.sql);
  const unfit = await nameUnfitRows(tx, { ...adoption.host, attributed: [] });
  if (unfit.length > 0) throw refuseHost(unfit);
  await tx.script(adoption.under.map(({ sql }) => sql).join("\n;\n"));
  await tx.script("SET LOCAL check_function_bodies = on");
}

async function apply(migration: Migration, work: () => Promise<void>): Promise<void> {
  const { name } = migration;
  await work().catch((error: unknown) => {
    if (!(error instanceof MidctlError) || error.code === "schema_version") throw error;
    if (readSqlState(error) === LOCK_NOT_AVAILABLE)
      throw inUse("The tables of the application are in use all the time");
    const { code, details, cause } = error;
    const left = migration.manner === "concurrently" ? "What it had built stays." : "It changed nothing.";
    throw new MidctlError(code, `The migration ${name} failed: ${describe(error)} ${left}`, {
      hint: "Look into the server's log, and report it with the version of your PostgreSQL.",
      details: { ...details, migration: name },
      cause,
    });
  });
}

async function run(db: Database, tx: OwnTx, { manner, text }: Migration): Promise<void> {
  switch (manner) {
    case "together":
      return tx.script(text);
    case "host":
      await tx.query("SELECT set_config('lock_timeout', $1::text, true)", [`${BRIEF}ms`]);
      return tx.script(text);
    case "concurrently":
      await validateKeys(db, tx);
      await nameFound(db, tx);
      // This transaction does no more than hold the advisory lock meanwhile. A simple statement as its last, since the
      // portal of any other keeps a snapshot, for the end of which the build would wait.
      await tx.script("SET LOCAL idle_in_transaction_session_timeout = 0");
      for (const { sql } of splitStatements(text)) await buildIndex(db, tx, sql);
  }
}

/** The log names what an adoption found, some hundreds to a transaction, while the host goes on. */
async function nameFound(db: Database, tx: OwnTx): Promise<void> {
  await tx.script("SET LOCAL enable_seqscan = off");
  const touch = `UPDATE midctl_environment SET "only" = "only"`;
  for (;;) {
    const [found] = await tx.query<{ unnamed: boolean }>(
      `SELECT EXISTS (SELECT FROM machine_identity i WHERE (SELECT true FROM midctl_log l
                       WHERE l."identity" = i."publicId" AND l."action" IN ('identity.create', 'identity.adopt') LIMIT 1) IS NULL)
           OR EXISTS (SELECT FROM machine_identity_credential c WHERE (SELECT true FROM midctl_log l
                       WHERE l."credential" = c."publicId" AND l."action" IN ('credential.issue', 'credential.adopt') LIMIT 1) IS NULL) AS unnamed`,
    );
    if (found?.unnamed !== true) break;
    if (db.concurrent) {
      await db.query(touch);
      continue;
    }
    await tx.script(`${touch}; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED`);
  }
  await tx.script("SET LOCAL enable_seqscan = on");
}

/** Keys that an adoption added without looking for them in the rows of large tables: they are looked for now, beside the host. */
async function validateKeys(db: Database, tx: OwnTx): Promise<void> {
  const keys = await tx.query<{ sql: string }>(
    `SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', conrelid::regclass, conname) AS sql FROM pg_constraint
      WHERE contype = 'f' AND NOT convalidated AND confrelid = to_regclass('machine_identity')
        AND conrelid IN (to_regclass('agent_token'), to_regclass('agent_audit_event'))
        AND conname = (conrelid::regclass || '_machineIdentityId_machine_identity_id_fk')`,
  );
  for (const { sql } of keys) await (db.concurrent ? db.query(sql) : tx.script(sql));
}

/** An index that a build left behind invalid, because it was interrupted, is built anew. */
async function buildIndex(db: Database, tx: OwnTx, sql: string): Promise<void> {
  const name = readIndexName(sql);
  if (name === null) throw new MidctlError("internal", "A migration builds no index that can be named.");
  const comment = `COMMENT ON INDEX ${name} IS '${MADE_BY_US}'`;
  const look = "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass($1)";
  if (!db.concurrent) {
    const there = await tx.query(look, [name]);
    if (there.length === 0) await tx.script(`${sql.replace(" CONCURRENTLY", "")}; ${comment}`);
    return;
  }
  const [left] = await db.query<{ valid: boolean }>(look, [name]);
  if (left?.valid === false) await db.query(`DROP INDEX CONCURRENTLY ${name}`);
  await db.query(sql);
  if (left?.valid !== true) await db.query(comment);
}

/** PostgreSQL's own words where there are any: migrations hold no secrets. */
function describe(error: MidctlError): string {
  return `${(error.cause instanceof Error ? error.cause : error).message}.`;
}

/** One row each, whose defaults make the database's id and the empty log. The lock keeps others from making them too. */
async function ensureEnvironment(tx: Tx): Promise<void> {
  for (const table of ["midctl_environment", "midctl_log_head"]) {
    if (!(await hasTable(tx, table))) continue;
    const present = await tx.query(`SELECT FROM ${table}`);
    if (present.length === 0) await tx.query(`INSERT INTO ${table} DEFAULT VALUES`);
  }
}

/**
 * Whether the triggers that write the log stand on a host's tables: from then on its changes need the log's head, however
 * long what comes later takes. The column that they read comes with them.
 */
async function isLogging(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('agent_token')
                       AND attname = 'machineIdentityId' AND NOT attisdropped) AND to_regclass('midctl_log_head') IS NOT NULL AS found`,
  );
  return row?.found === true;
}
