import type { Database } from "../db/database.ts";
import { type MigrationPlan, migrate, planMigration } from "../db/migrate.ts";

/**
 * Makes or upgrades the schema, or tells, with the locks it takes, what that would do. Idempotent; any number at once.
 * @throws MidctlError `schema_version` for a newer or an edited one, or beside tables that it cannot add to
 */
export async function migrateDatabase(
  db: Database,
  options: { readonly dryRun: boolean },
): Promise<MigrationPlan> {
  return options.dryRun ? planMigration(db) : { ...(await migrate(db)), byHand: true, statements: [] };
}
