import { MidctlError } from "../domain/errors.ts";
import type { Database, Tx } from "./database.ts";
import { readSqlState } from "./failure.ts";
import type { Migration } from "./migrations.ts";

/** The table of migrations that were applied: whoever owns it owns the schema. */
export const HISTORY = "midctl_migration";

const UNDEFINED_TABLE = "42P01";

/** A file that was applied, with the SHA-256 of its text then. */
export interface Applied {
  readonly name: string;
  readonly hash: string;
}

export const CREATE_HISTORY = `CREATE TABLE midctl_migration (
  name text PRIMARY KEY,
  position int NOT NULL UNIQUE,
  hash text NOT NULL,
  undo jsonb,
  "appliedAt" timestamptz NOT NULL DEFAULT clock_timestamp()
)`;

export async function ensureHistory(tx: Tx): Promise<void> {
  if (!(await hasTable(tx, HISTORY))) await tx.query(CREATE_HISTORY);
}

/** Whether identity tables of a host's own were taken in: what an adoption has still to do is then more than its files. */
export async function hasTakenIn(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT FROM midctl_migration WHERE undo IS NOT NULL) AS found",
  );
  return row?.found === true;
}

/** In the order in which they were applied. */
export function readHistory(tx: Tx): Promise<Applied[]> {
  return tx.query<Applied>("SELECT name, hash FROM midctl_migration ORDER BY position");
}

/** The same by name, outside of a transaction; empty where there is no schema of ours. */
export async function readAppliedNames(db: Database): Promise<string[]> {
  try {
    const rows = await db.query<{ name: string }>("SELECT name FROM midctl_migration ORDER BY position");
    return rows.map(({ name }) => name);
  } catch (error) {
    if (readSqlState(error) === UNDEFINED_TABLE) return [];
    throw error;
  }
}

/** @throws MidctlError `schema_version` for a newer schema, an edited file, or a gap */
export function checkHistory(applied: readonly Applied[], known: readonly Migration[]): void {
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

export async function hasTable(tx: Tx, name: string): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [name]);
  return row?.found === true;
}
