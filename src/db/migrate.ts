import { MidctlError } from "../domain/errors.ts";
import type { Database, OwnTx, Tx } from "./database.ts";
import { listMigrations, type Migration, readMigrations } from "./migrations.ts";

export interface MigrateOptions {
  /** Where the files are; those of this package unless told. */
  readonly directory?: string;
  /** Runs everything and rolls it back. */
  readonly dryRun?: boolean;
  /** Leaves out environment, database id and log head: for a data directory that is to be copied. */
  readonly bare?: boolean;
}

export interface MigrateResult {
  /** Names of the files applied (or, on a dry run, to be applied), in order. */
  readonly applied: readonly string[];
  /** The last file that the schema then has, or null where there are no migrations at all. */
  readonly current: string | null;
}

export interface SchemaState {
  readonly state: "absent" | "behind" | "current" | "newer";
  readonly applied: number;
  readonly known: number;
}

/**
 * Brings the schema up to this program's: all missing files in one transaction, under one advisory lock, so that of any
 * number of concurrent runs one applies and the others find it done. Files already applied must be unchanged and in
 * order. Functions created `SET search_path FROM CURRENT` get the current schema and pg_temp. Idempotent.
 * @throws MidctlError `schema_version` for a newer schema, an edited file or a gap (nothing was changed)
 */
export async function migrate(db: Database, options: MigrateOptions = {}): Promise<MigrateResult> {
  const known = readMigrations(options.directory);
  const dryRun = new DryRun();
  try {
    return await db.transaction(async (tx) => {
      const result = await migrateIn(tx, known, options);
      if (options.dryRun !== true) return result;
      dryRun.result = result;
      throw dryRun;
    });
  } catch (error) {
    if (error === dryRun && dryRun.result !== null) return dryRun.result;
    throw error;
  }
}

/** Thrown through the transaction, so that a dry run takes every step of a real one and leaves nothing. */
class DryRun extends Error {
  result: MigrateResult | null = null;
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

const UNDEFINED_TABLE = "42P01";

/** The bytes of "midctl" as a number: a key of our own among a host's advisory locks. */
const LOCK = 120299423233132;

async function migrateIn(
  tx: OwnTx,
  known: readonly Migration[],
  options: MigrateOptions,
): Promise<MigrateResult> {
  // A transaction's lock rather than a session's: it ends exactly when the schema is there, and passes any pooler.
  // Nobody may wait for ever, neither for another run nor, keeping others waiting in turn, for a table in use.
  await tx.query("SELECT set_config('lock_timeout', '60s', true)");
  await tx.query("SELECT pg_advisory_xact_lock($1::bigint)", [LOCK]);
  await pinSearchPath(tx);
  const applied = await readHistory(tx);
  checkHistory(applied, known);
  const missing = known.slice(applied.length);
  for (const migration of missing) await apply(tx, migration);
  if (options.bare !== true) await ensureEnvironment(tx);
  return { applied: missing.map(({ name }) => name), current: known.at(-1)?.name ?? null };
}

async function pinSearchPath(tx: Tx): Promise<void> {
  const [row] = await tx.query<{ schema: string | null }>("SELECT quote_ident(current_schema()) AS schema");
  if (row?.schema == null) {
    throw new MidctlError(
      "schema_version",
      "The database user's search_path names no schema that exists; nothing was changed.",
      {
        hint: "Create the schema, or set search_path for this user or database.",
      },
    );
  }
  await tx.query("SELECT set_config('search_path', $1::text || ', pg_temp', true)", [row.schema]);
}

interface Applied {
  readonly name: string;
  readonly hash: string;
}

async function readHistory(tx: Tx): Promise<Applied[]> {
  if (!(await hasTable(tx, "midctl_migration"))) {
    await tx.query(
      `CREATE TABLE midctl_migration (
         name text PRIMARY KEY,
         position int NOT NULL UNIQUE,
         hash text NOT NULL,
         "appliedAt" timestamptz NOT NULL DEFAULT clock_timestamp()
       )`,
    );
  }
  return tx.query<Applied>("SELECT name, hash FROM midctl_migration ORDER BY position");
}

async function readAppliedNames(db: Database): Promise<string[]> {
  try {
    const rows = await db.query<{ name: string }>("SELECT name FROM midctl_migration ORDER BY position");
    return rows.map(({ name }) => name);
  } catch (error) {
    if (error instanceof MidctlError && error.details.sqlState === UNDEFINED_TABLE) return [];
    throw error;
  }
}

function checkHistory(applied: readonly Applied[], known: readonly Migration[]): void {
  applied.forEach(({ name, hash }, index) => {
    const expected = known[index];
    if (!known.some((migration) => migration.name === name)) {
      throw new MidctlError(
        "schema_version",
        `The database has the migration ${name}, which this midctl does not know; nothing was changed.`,
        {
          hint: "Its schema is newer: upgrade midctl.",
          details: { migration: name },
        },
      );
    }
    if (expected?.name !== name) {
      throw refuseHistory(expected?.name ?? name, "was never applied, though later ones were");
    }
    if (expected.hash !== hash) throw refuseHistory(name, "was edited after it had been applied");
  });
}

function refuseHistory(name: string, what: string): MidctlError {
  return new MidctlError("schema_version", `The migration ${name} ${what}; nothing was changed.`, {
    hint: "Restore the files as released: install midctl again.",
    details: { migration: name },
  });
}

async function apply(tx: OwnTx, { name, position, hash, text }: Migration): Promise<void> {
  await tx.script(text).catch((error: unknown) => {
    if (!(error instanceof MidctlError)) throw error;
    const { code, details, cause } = error;
    throw new MidctlError(code, `The migration ${name} failed: ${describe(error)} Nothing was changed.`, {
      hint: "Look into the server's log, and report it with the version of your PostgreSQL.",
      details: { ...details, migration: name },
      cause,
    });
  });
  await tx.query("INSERT INTO midctl_migration (name, position, hash) VALUES ($1, $2, $3)", [
    name,
    position,
    hash,
  ]);
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

async function hasTable(tx: Tx, name: string): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [name]);
  return row?.found === true;
}
