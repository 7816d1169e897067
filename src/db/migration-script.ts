import type { Tx } from "./database.ts";
import { CREATE_HISTORY } from "./history.ts";
import { HOST_TABLES, MADE_BY_US } from "./host.ts";
import type { Manner, Migration } from "./migrations.ts";
import { readIndexName, type Statement, splitStatements } from "./statements.ts";

/** `session` holds for all that follows on one connection. */
export interface PlannedStatement extends Statement {
  readonly migration: string;
  readonly manner: Manner | "session";
}

/** One row each, whose defaults make the database's id and the empty log. */
const SINGLE_ROWS = ["midctl_environment", "midctl_log_head"] as const;

/**
 * All that `migrate` would run where a host has no identity tables of its own, so that whoever runs it by hand has done the same.
 * @param missing the files, in order
 * @param known all files of this program
 * @param before those of the host's tables that there are; null where midctl has begun
 */
export async function scriptMigration(
  tx: Tx,
  missing: readonly Migration[],
  known: readonly Migration[],
  before: readonly string[] | null,
): Promise<readonly PlannedStatement[]> {
  const [first] = missing;
  if (first === undefined) return [];
  const script: PlannedStatement[] = [];
  const add = ({ name, manner }: Migration, ...sql: readonly string[]) =>
    script.push(...sql.map((one) => ({ migration: name, manner, sql: one, locks: [] })));
  const session = await readSession(tx);
  script.push(
    ...session.map((sql) => ({ migration: first.name, manner: "session" as const, sql, locks: [] })),
  );
  if (before !== null) add(first, CREATE_HISTORY);
  for (const [index, file] of missing.entries()) {
    for (const statement of splitStatements(file.text)) {
      const name = file.manner === "concurrently" ? readIndexName(statement.sql) : null;
      const there = name === null ? null : await readIndexState(tx, name);
      if (there === "invalid") add(file, `DROP INDEX CONCURRENTLY ${name}`);
      script.push({ migration: file.name, manner: file.manner, ...statement });
      if (name !== null && there !== "valid") add(file, `COMMENT ON INDEX ${name} IS '${MADE_BY_US}'`);
    }
    add(
      file,
      `INSERT INTO midctl_migration (name, position, hash) VALUES ('${file.name}', ${file.position}, '${file.hash}')`,
    );
    const next = missing[index + 1];
    if (before !== null && index === lastTogether(missing)) add(file, ...markOwn(missing, before, index));
    if (file.manner === "host" || next === undefined) add(file, ...fillSingleRows(known));
  }
  return script;
}

/** Of the first transaction: at its end, what is ours is marked. */
function lastTogether(missing: readonly Migration[]): number {
  if (missing[0]?.manner !== "together") return 0;
  const alone = missing.findIndex(({ manner }) => manner !== "together");
  return (alone < 0 ? missing.length : alone) - 1;
}

function markOwn(missing: readonly Migration[], before: readonly string[], last: number): string[] {
  const made = makes(missing.slice(0, last + 1));
  return HOST_TABLES.filter((table) => !before.includes(table) && made(table)).map(
    (table) => `COMMENT ON TABLE ${table} IS '${MADE_BY_US}'`,
  );
}

function fillSingleRows(known: readonly Migration[]): string[] {
  return SINGLE_ROWS.filter(makes(known)).map(
    (table) => `INSERT INTO ${table} ("only") SELECT true WHERE NOT EXISTS (SELECT FROM ${table})`,
  );
}

function makes(files: readonly Migration[]): (table: string) => boolean {
  return (table) =>
    files.some(({ text }) => new RegExp(`^CREATE TABLE (?:IF NOT EXISTS )?"${table}"`, "m").test(text));
}

/** The path that functions are pinned to, and the schema's owner where that is another. */
async function readSession(tx: Tx): Promise<string[]> {
  const [row] = await tx.query<{ path: string; role: string | null }>(
    `SELECT quote_ident(current_schema()) || ', pg_temp' AS path,
            CASE WHEN current_setting('role') NOT IN ('none', session_user) THEN quote_ident(current_user) END AS role`,
  );
  return [`SET search_path = ${row?.path ?? ""}`, ...(row?.role == null ? [] : [`SET ROLE ${row.role}`])];
}

async function readIndexState(tx: Tx, name: string): Promise<"valid" | "invalid" | null> {
  const [row] = await tx.query<{ valid: boolean }>(
    "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass($1)",
    [name],
  );
  if (row === undefined) return null;
  return row.valid ? "valid" : "invalid";
}
