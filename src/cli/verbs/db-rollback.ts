import * as z from "zod/mini";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import {
  previewRollback,
  type RollbackPreview,
  readHere,
  rollbackDatabase,
} from "../../operations/db-rollback.ts";
import type { VerbContext } from "../context.ts";
import { openExport } from "../export-file.ts";
import { type GateWords, gateOptions } from "../gate.ts";
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
    approved: {
      value: "FILE",
      summary: "where protected: the plan that owners approved, their signatures beside it",
    },
    ...gateOptions,
  },
  output: dbRollbackOutput,
  changes: true,
  async run(input, context) {
    const db = await context.database({ schema: "any" });
    const place = describePlace(context);
    const preview = await previewGated(context, db, input.approved, input);
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

/** In a protected environment by a plan in a file, which names the length of the log that goes. */
async function previewGated(
  context: VerbContext,
  db: Database,
  approved: string | undefined,
  words: GateWords,
): Promise<RollbackPreview> {
  try {
    return await previewRollback(db, { approved: context.dryRun });
  } catch (error) {
    if (!(error instanceof MidctlError) || error.code !== "approval_required") throw error;
  }
  const preview = await previewRollback(db, { approved: true });
  const { askByFile, requireApprovedFile } = await import("../plan-file.ts");
  const line = { identity: null, credential: null, token: null, entries: preview.entries };
  if (approved === undefined) {
    return askByFile(context, db, words, "db.rollback", { do: "db.rollback", ...line });
  }
  const { requireTrustRoot } = await import("../trust.ts");
  const said = requireApprovedFile(requireTrustRoot(context), approved, await readHere(db));
  if (said.do === "db.rollback" && said.entries === preview.entries) return preview;
  throw new MidctlError("conflict", `${approved} approves another rollback than this; nothing was removed.`, {
    hint: "The log has grown since, or it is a plan for something else: request it anew.",
  });
}
