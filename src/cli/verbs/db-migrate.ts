import * as z from "zod/mini";
import { migrateDatabase } from "../../operations/db-migrate.ts";
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
  output: dbMigrateOutput,
  list: ["applied"],
  changes: true,
  async run(_input, context) {
    const db = await context.database({ schema: "any" });
    const migrated = await migrateDatabase(db, { dryRun: context.dryRun });
    return { document: { place: describePlace(context), ...migrated } };
  },
  view: viewDbMigrate,
});
