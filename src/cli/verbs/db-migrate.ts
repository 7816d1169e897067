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
});
export type DbMigrateDocument = z.infer<typeof dbMigrateOutput>;

export const dbMigrate = defineVerb({
  path: ["db", "migrate"],
  summary: "Make or upgrade the schema",
  description: "All missing migrations in one transaction. Idempotent; any number may run at once.",
  examples: [{ command: "midctl db migrate", does: "safe to repeat" }],
  output: dbMigrateOutput,
  list: ["applied"],
  changes: true,
  async run(_input, context) {
    const db = await context.database({ schema: "any" });
    const { applied, current } = await migrateDatabase(db, { dryRun: context.dryRun });
    return { document: { place: describePlace(context), applied, current } };
  },
  view: viewDbMigrate,
});
