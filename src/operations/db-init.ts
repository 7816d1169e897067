import type { Database } from "../db/database.ts";
import { migrate, planMigration } from "../db/migrate.ts";
import { MidctlError } from "../domain/errors.ts";
import { type Environment, lockEnvironment, nameEnvironment } from "../repository/environment.ts";
import { change, type Request } from "./change.ts";
import { requireEnvironment } from "./lookup.ts";

export interface InitWish {
  readonly name: string;
  readonly live: boolean;
  readonly protected: boolean;
}

export interface Initialized {
  readonly applied: readonly string[];
  /** False where it was named so already. */
  readonly changed: boolean;
  readonly environment: Environment;
}

/**
 * Migrates and names the environment. Idempotent; another name or kind than the one it has is a `conflict`, as is
 * `live` once credentials exist.
 */
export async function initDatabase(db: Database, request: Request, wish: InitWish): Promise<Initialized> {
  const { applied } = await (request.dryRun === true ? planMigration(db) : migrate(db));
  if (request.dryRun === true && applied.length > 0) {
    throw new MidctlError(
      "schema_version",
      "A dry run can name only an environment that is there, and this database's schema is not made yet; nothing was changed.",
      { hint: "Run midctl db migrate first; its own --dry-run lists what it would apply." },
    );
  }
  return change(db, request, async (tx) => {
    const before = await lockEnvironment(tx);
    if (before === null)
      throw new MidctlError("internal", "The database was migrated and has no environment.");
    const kind = wish.live ? "live" : "test";
    if (before.named && (before.name !== wish.name || before.kind !== kind)) {
      throw new MidctlError(
        "conflict",
        `This database is the ${before.kind} environment ${before.name} already; nothing was changed.`,
        {
          hint: "One database is one environment: use another database.",
          details: { environment: before.name, kind: before.kind },
        },
      );
    }
    if (before.named && (before.protected || !wish.protected))
      return { applied, changed: false, environment: before };
    await nameEnvironment(tx, wish);
    return { applied, changed: true, environment: await requireEnvironment(tx) };
  });
}
