import { randomBytes } from "node:crypto";
import type { Database } from "../../src/db/database.ts";
import { TABLES } from "../../src/db/rights.ts";

/** Verifiers and migrations stay: what is put back is what was decided and logged. */
const KEPT = TABLES.filter((table) => !["midctl_migration", "midctl_verifier"].includes(table));

/** What the tables hold now, as a dump would have it. */
export interface Backup {
  readonly name: string;
}

export async function takeBackup(db: Database): Promise<Backup> {
  const name = `backup_${randomBytes(4).toString("hex")}`;
  await db.transaction((tx) =>
    tx.script(KEPT.map((table) => `CREATE TABLE ${name}_${table} AS SELECT * FROM ${table}`).join("; ")),
  );
  return { name };
}

/** Puts it back in place, as an owner of the database can: all triggers off, in one transaction. */
export async function restoreBackup(db: Database, { name }: Backup): Promise<void> {
  const always = await db.query<{ statement: string }>(
    `SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', tgrelid::regclass, tgname) AS statement FROM pg_trigger
      WHERE tgrelid::regclass::text = ANY ($1::text[]) AND NOT tgisinternal AND tgenabled = 'A'`,
    [`{${KEPT.join(",")}}`],
  );
  const columns = await db.query<{ table: string; columns: string }>(
    `SELECT attrelid::regclass::text AS table, string_agg(quote_ident(attname), ', ') AS columns FROM pg_attribute
      WHERE attrelid::regclass::text = ANY ($1::text[]) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' GROUP BY 1`,
    [`{${KEPT.join(",")}}`],
  );
  await db.transaction((tx) =>
    tx.script(
      [
        ...KEPT.map((table) => `ALTER TABLE ${table} DISABLE TRIGGER ALL`),
        ...KEPT.map((table) => `DELETE FROM ${table}`),
        ...columns.map(
          ({ table, columns }) =>
            `INSERT INTO ${table} (${columns}) OVERRIDING SYSTEM VALUE SELECT ${columns} FROM ${name}_${table}`,
        ),
        ...KEPT.map((table) => `ALTER TABLE ${table} ENABLE TRIGGER ALL`),
        ...always.map(({ statement }) => statement),
      ].join("; "),
    ),
  );
}

/** So many entries more in the log. */
export async function grow(db: Database, entries: number): Promise<void> {
  for (let at = 0; at < entries; at++) {
    const name = randomBytes(6).toString("hex");
    await db.query(
      `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner) VALUES ($1, $2, 'service', 'grown', 'team')`,
      [name, `grown-${name}`],
    );
  }
}
