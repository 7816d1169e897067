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
import { readMoment } from "../repository/moment.ts";

export interface RollbackPreview {
  /** False where there is no schema to take away. */
  readonly present: boolean;
  readonly dependents: Dependents;
  readonly entries: number;
}

/**
 * What a rollback would find.
 * @param options.approved whether owners approved it, where the environment is protected
 * @throws MidctlError `conflict` where something depends on the schema, `approval_required` in a protected environment
 */
export async function previewRollback(
  db: Database,
  { approved = false }: { readonly approved?: boolean } = {},
): Promise<RollbackPreview> {
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
  const dependents = await readDependents(db);
  requireNothing(dependents);
  const entries = await readLogSize(db);
  if (environment?.protected === true && !approved) {
    throw new MidctlError(
      "approval_required",
      "The environment is protected, and its rollback needs an approval; nothing was removed.",
      { details: { entries } },
    );
  }
  return { present: true, dependents, entries };
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

/** Which database this is, and its clock, RFC 3339. */
export async function readHere(db: Database): Promise<{ readonly databaseId: string; readonly now: string }> {
  const [environment, { now }] = await Promise.all([readEnvironment(db), readMoment(db)]);
  return { databaseId: environment?.databaseId ?? "", now };
}
