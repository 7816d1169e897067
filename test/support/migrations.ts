import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { type MigrateResult, migrate } from "../../src/db/migrate.ts";
import { readMigrations } from "../../src/db/migrations.ts";

/** What there is where a run was interrupted behind this file: without an environment, as long as nothing can write the log. */
export function migrateUpTo(db: Database, last: string): Promise<MigrateResult> {
  return migrate(db, { directory: migrationsUpTo(last), bare: last < "0006" });
}

/** A directory of the first migrations alone. */
export function migrationsUpTo(last: string): string {
  const directory = mkdtempSync(join(inject("scratch"), "migrations-"));
  for (const { name, text } of readMigrations()) {
    if (name <= last) writeFileSync(join(directory, name), text);
  }
  return directory;
}
