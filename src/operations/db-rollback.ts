import type { Database } from "../db/database.ts";
import { readSchemaState } from "../db/migrate.ts";
import {
  type Dependents,
  type RemovedRow,
  readDependents,
  readLogSize,
  readRemoved,
  requireNothing,
  rollback,
} from "../db/rollback.ts";
import { MidctlError } from "../domain/errors.ts";
import { readEnvironment } from "../repository/environment.ts";

export interface RollbackPreview {
  /** False where there is no schema to take away. */
  readonly present: boolean;
  readonly dependents: Dependents;
  readonly entries: number;
}

/**
 * What a rollback would find.
 * @throws MidctlError `conflict` where something depends on the schema or the environment is protected
 */
export async function previewRollback(db: Database): Promise<RollbackPreview> {
  const { state } = await readSchemaState(db);
  if (state === "absent") {
    return { present: false, dependents: { identities: 0, tokens: 0, events: 0 }, entries: 0 };
  }
  if (state === "newer") {
    throw new MidctlError("schema_version", "The schema is of a newer midctl; nothing was removed.", {
      hint: "Run it with the newest midctl that this database has seen.",
    });
  }
  const environment = await readEnvironment(db);
  if (environment?.protected === true) {
    throw new MidctlError("conflict", "A protected environment is not rolled back; nothing was removed.");
  }
  const dependents = await readDependents(db);
  requireNothing(dependents);
  return { present: true, dependents, entries: await readLogSize(db) };
}

/** Where rows are kept that are removed. */
export interface Keeper {
  write(row: RemovedRow): void;
  /** Called before anything is removed, once all is written. */
  done(): void;
}

/**
 * Takes the schema away again, its log with it, and leaves a host's rows and tables as they were before `migrate`.
 * @param keep given every row beforehand; its failure leaves everything as it is
 * @param options.dryRun runs the real transaction under the same brief locks, rolls it back, and keeps nothing
 * @throws MidctlError `conflict`, see `previewRollback`, and where the log has grown meanwhile
 */
export async function rollbackDatabase(
  db: Database,
  { entries }: RollbackPreview,
  keep: Keeper | null,
  options: { readonly dryRun: boolean } = { dryRun: false },
): Promise<void> {
  if (keep !== null && !options.dryRun) {
    for await (const row of readRemoved(db, entries)) keep.write(row);
    keep.done();
  }
  await rollback(db, { entries, dryRun: options.dryRun });
}
