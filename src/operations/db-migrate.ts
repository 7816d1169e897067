import type { Database } from "../db/database.ts";
import { type MigrationPlan, migrate, planMigration, readSchemaState } from "../db/migrate.ts";
import { readMigrations } from "../db/migrations.ts";
import { MidctlError } from "../domain/errors.ts";
import { type Environment, readEnvironment } from "../repository/environment.ts";
import { readMoment } from "../repository/moment.ts";
import type { PlanLine } from "./approval/plan.ts";

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

/** What stands between a protected environment and the next schema. */
export interface PendingUpgrade {
  readonly environment: Environment;
  /** The database's clock, RFC 3339. */
  readonly now: string;
  readonly migrations: readonly { readonly name: string; readonly sha256: string }[];
}

/** The migrations that are missing in a protected environment; null where nothing is missing or nothing protected. */
export async function findGatedUpgrade(
  db: Database,
  options: { readonly directory?: string } = {},
): Promise<PendingUpgrade | null> {
  const { state, applied } = await readSchemaState(db, options);
  if (state !== "behind") return null;
  const environment = await readEnvironment(db).catch(() => null);
  if (environment?.protected !== true) return null;
  const migrations = readMigrations(options.directory)
    .slice(applied)
    .map(({ name, hash }) => ({ name, sha256: hash }));
  return { environment, now: (await readMoment(db)).now, migrations };
}

/** Throws `conflict` where other migrations were approved than are missing. */
export function requireSameMigrations(line: PlanLine, { migrations }: PendingUpgrade): void {
  const approved = line.do === "db.migrate" ? line.migrations : [];
  const same =
    approved.length === migrations.length &&
    approved.every(({ name, sha256 }, index) => {
      const missing = migrations[index];
      return missing?.name === name && missing.sha256 === sha256;
    });
  if (same) return;
  throw new MidctlError(
    "conflict",
    "Other migrations were approved than are missing here; nothing was changed.",
    {
      hint: "Request it anew with the midctl that is to carry it out.",
    },
  );
}
