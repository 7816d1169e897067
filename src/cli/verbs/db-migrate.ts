import * as z from "zod/mini";
import type { Database } from "../../db/database.ts";
import {
  findGatedUpgrade,
  migrateDatabase,
  type PendingUpgrade,
  requireSameMigrations,
} from "../../operations/db-migrate.ts";
import type { VerbContext } from "../context.ts";
import { type GateWords, gateOptions } from "../gate.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewDbMigrate } from "../views/db-migrate.ts";
import { placeSchema } from "./status.ts";

export const dbMigrateOutput = z.object({
  place: placeSchema,
  applied: z.readonly(z.array(z.string())),
  current: z.nullable(z.string()),
  byHand: z.boolean(),
  statements: z.readonly(
    z.array(
      z.object({
        migration: z.string(),
        manner: z.enum(["session", "together", "host", "concurrently"]),
        sql: z.string(),
        locks: z.readonly(z.array(z.object({ table: z.string(), mode: z.string() }))),
      }),
    ),
  ),
});
export type DbMigrateDocument = z.infer<typeof dbMigrateOutput>;

export const dbMigrate = defineVerb({
  path: ["db", "migrate"],
  summary: "Make or upgrade the schema",
  description:
    "Beside an application's own agent_token and agent_audit_event it adds and changes nothing: what is midctl's alone comes in one transaction, what is added to those tables in another that never has the application wait longer than 50 ms for it, and indexes on them are built while it goes on. Idempotent; any number may run at once; one that was interrupted goes on where it stopped. --dry-run prints every statement with the locks that it takes on tables which are there, and takes none; run by psql, that text does what `db migrate` would, but where an application has identity tables of its own.",
  examples: [
    { command: "midctl db migrate", does: "safe to repeat" },
    { command: "midctl db migrate --dry-run", does: "the SQL, and what it locks" },
  ],
  options: {
    approved: {
      value: "FILE",
      summary: "where protected: the plan that owners approved, their signatures beside it",
    },
    ...gateOptions,
  },
  output: dbMigrateOutput,
  list: ["applied"],
  changes: true,
  async run({ approved, ...words }, context) {
    const db = await context.database({ schema: "any" });
    const gated = context.dryRun ? null : await findGatedUpgrade(db);
    if (gated !== null) await requireApproval(context, db, gated, approved, words);
    const migrated = await migrateDatabase(db, { dryRun: context.dryRun });
    return { document: { place: describePlace(context), ...migrated } };
  },
  view: viewDbMigrate,
});

/** A protected environment is upgraded by a plan in a file: the schema as it is need not know it. */
async function requireApproval(
  context: VerbContext,
  db: Database,
  gated: PendingUpgrade,
  approved: string | undefined,
  words: GateWords,
): Promise<void> {
  const { askByFile, requireApprovedFile } = await import("../plan-file.ts");
  if (approved === undefined) {
    const line = { identity: null, credential: null, token: null, migrations: [...gated.migrations] };
    return askByFile(context, db, words, "db.migrate", { do: "db.migrate", ...line });
  }
  const { requireTrustRoot } = await import("../trust.ts");
  const here = { databaseId: gated.environment.databaseId, now: gated.now };
  requireSameMigrations(requireApprovedFile(requireTrustRoot(context), approved, here), gated);
}
