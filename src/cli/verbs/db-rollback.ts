import * as z from "zod/mini";
import { previewRollback, rollbackDatabase } from "../../operations/db-rollback.ts";
import { openExport } from "../export-file.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewDbRollback } from "../views/db-rollback.ts";
import { placeSchema } from "./status.ts";

export const dbRollbackOutput = z.object({
  place: placeSchema,
  changed: z.boolean(),
  entries: z.number(),
  exported: z.nullable(z.string()),
});
export type DbRollbackDocument = z.infer<typeof dbRollbackOutput>;

export const dbRollback = defineVerb({
  path: ["db", "rollback"],
  summary: "Take the schema away again, while nothing depends on it",
  description:
    "For an adoption that is to be undone: midctl's tables, triggers, functions, columns and indexes go, and the application's tables and rows are as they were before `db migrate`. A machine identity, or a token or event that names one, keeps everything: it says which, with counts. The log goes too; --export writes log, environment and refused uses to a new file first. What the application built upon any of it, such as a view, keeps everything, and is named. A schema that an interrupted `db migrate` made in part goes too. --dry-run does all of it and rolls it back. Locks on the application's tables are as brief as those of `db migrate`.",
  examples: [
    { command: "midctl db rollback --dry-run", does: "whether anything depends on it" },
    { command: "midctl db rollback --export midctl-log.jsonl --yes", does: "keeps the log" },
  ],
  options: {
    export: { value: "FILE", summary: "a new file for log, environment and refused uses, as JSON lines" },
  },
  output: dbRollbackOutput,
  changes: true,
  async run(input, context) {
    const db = await context.database({ schema: "any" });
    const place = describePlace(context);
    const preview = await previewRollback(db);
    const document = { place, changed: preview.present, entries: preview.entries, exported: null };
    if (!preview.present) return { document };
    if (context.dryRun) {
      await rollbackDatabase(db, preview, null, { dryRun: true });
      return { document };
    }
    await context.confirm({ action: `take midctl's schema out of ${place.location}`, name: "rollback" });
    if (input.export === undefined) {
      await rollbackDatabase(db, preview, null);
      return { document };
    }
    const file = openExport(input.export);
    try {
      await rollbackDatabase(db, preview, { write: file.write, done: file.close });
    } catch (error) {
      file.discard();
      throw error;
    }
    return { document: { ...document, exported: input.export } };
  },
  view: viewDbRollback,
});
