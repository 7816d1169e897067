import type { Database } from "../db/database.ts";
import { type MigrateResult, migrate } from "../db/migrate.ts";

/**
 * Makes or upgrades the schema. Idempotent; any number at once. Throws `schema_version` for a newer or an edited one.
 */
export function migrateDatabase(db: Database, options: { readonly dryRun: boolean }): Promise<MigrateResult> {
  return migrate(db, { dryRun: options.dryRun });
}
