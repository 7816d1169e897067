import type { Tx } from "../db/database.ts";
import type { EnvironmentKind } from "../domain/token.ts";

/** The environment is a property of the database (SPEC §2). */
export interface Environment {
  readonly name: string;
  /** False while the database has only its default name. */
  readonly named: boolean;
  readonly kind: EnvironmentKind;
  readonly protected: boolean;
  readonly databaseId: string;
  /** Where `db push` moved the database, a URL without user or password; null while it lives here. */
  readonly movedTo: string | null;
}

interface EnvironmentRow {
  readonly name: string;
  readonly named: boolean;
  readonly live: boolean;
  readonly protected: boolean;
  readonly databaseId: string;
  readonly movedTo: string | null;
}

/** An older schema, which may be looked at too, has no such column as the last. */
const COLUMNS = `name, named, live, protected, "databaseId", to_jsonb(e) ->> 'movedTo' AS "movedTo"`;

/** The environment; null where the database was copied or migrated but not made ready yet. */
export async function readEnvironment(tx: Tx): Promise<Environment | null> {
  const [row] = await tx.query<EnvironmentRow>(`SELECT ${COLUMNS} FROM midctl_environment e`);
  return row === undefined ? null : toEnvironment(row);
}

/** Tables of which row-level security shows this user nothing at all. */
export async function readHiddenTables(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    "SELECT name FROM unnest(ARRAY['agent_token', 'agent_audit_event']) AS name WHERE midctl_rows_hidden(name::regclass)",
  );
  return rows.map(({ name }) => name);
}

/** Takes turns with whoever else names or protects the environment. */
export async function lockEnvironment(tx: Tx): Promise<Environment | null> {
  const [row] = await tx.query<EnvironmentRow>(
    `SELECT ${COLUMNS} FROM midctl_environment e FOR NO KEY UPDATE`,
  );
  return row === undefined ? null : toEnvironment(row);
}

/** Names the environment. The guards refuse a second name, and `live` once credentials exist. */
export async function nameEnvironment(
  tx: Tx,
  wanted: { readonly name: string; readonly live: boolean; readonly protected: boolean },
): Promise<void> {
  await tx.query(
    `UPDATE midctl_environment SET name = $1, named = true, live = $2, protected = protected OR $3`,
    [wanted.name, wanted.live, wanted.protected],
  );
}

/** From here on nothing changes without an approval. */
export async function markProtected(tx: Tx): Promise<void> {
  await tx.query(`UPDATE midctl_environment SET protected = true`);
}

function toEnvironment(row: EnvironmentRow): Environment {
  return {
    name: row.name,
    named: row.named,
    kind: row.live ? "live" : "test",
    protected: row.protected,
    databaseId: row.databaseId,
    movedTo: row.movedTo,
  };
}
