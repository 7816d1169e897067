import * as z from "zod/mini";
import type { Database } from "../../db/database.ts";
import type { Draft } from "../../operations/approval/draft.ts";
import type { Request } from "../../operations/change.ts";
import { importIdentities } from "../../operations/identity-import.ts";
import { ImportFile } from "../../operations/import-file.ts";
import { gated, gateOptions } from "../gate.ts";
import { readImport } from "../import-lines.ts";
import { ownerOption } from "../options.ts";
import { openSpool } from "../spool.ts";
import { defineVerb } from "../verb.ts";
import { viewIdentityImport } from "../views/identity-import.ts";

export const identityImportOutput = z.object({
  /** Lines that made something. */
  imported: z.number(),
  /** Lines of which everything was there. */
  unchanged: z.number(),
  identities: z.number(),
  credentials: z.number(),
  /** With --keep-going, at most 1,000 of them. */
  failed: z.readonly(z.array(z.object({ line: z.number(), code: z.string(), message: z.string() }))),
  failedTotal: z.number(),
});
export type IdentityImportDocument = z.infer<typeof identityImportOutput>;

export const identityImport = defineVerb({
  path: ["identity", "import"],
  summary: "Create many identities, with their credentials, from lines of JSON",
  description:
    'One JSON object a line: slug, or provider and threadId; owner, displayName, labels, parent, expires, idleTtl, workspace, each as the flag of identity create; and credential: {"commitment":"mcc_…"} with name, scopes, expires, activateWithin, whose secret `credential prepare` made elsewhere. Parents may come after their children. One transaction: all lines or none, and an error names every line that is wrong. Where the environment is protected, an approval is asked for: then either every line has a credential or none, and parents are there already.',
  examples: [
    {
      command: "midctl identity import fleet.ndjson --dry-run",
      does: "says what is wrong, and changes nothing",
    },
    {
      command: "midctl identity import fleet.ndjson --owner platform --if-not-exists",
      does: "all or nothing; safe to repeat",
    },
    {
      command: "make-fleet | midctl identity import --keep-going",
      does: "what is right, from standard input",
    },
  ],
  args: [{ name: "file", summary: "the lines; default, or -: standard input", optional: true }],
  options: {
    owner: { ...ownerOption, summary: "the owner of every line that names none" },
    ifNotExists: {
      summary:
        "an identity that is there with the same attributes is no error; its credential is issued where it has none",
    },
    keepGoing: { summary: "import the lines that are right; exit 8 where others are not" },
    ...gateOptions,
  },
  output: identityImportOutput,
  changes: true,
  async run(input, context) {
    const spool = openSpool();
    try {
      const file = new ImportFile(spool);
      await readImport(context, input.file, input.owner ?? null, file);
      file.seal();
      const db = await context.database();
      const options = { ifNotExists: input.ifNotExists, keepGoing: input.keepGoing };
      let drafts: readonly Draft[] = [];
      const document = await gated(context, db, input, {
        action: file.credentials === "none" ? "identity.create" : "credential.issue",
        draft: async (tx) => {
          drafts = await (await import("../../operations/approval/draft.ts")).draftImport(tx, file, options);
          return drafts;
        },
        run: (request) =>
          request.envelope === undefined
            ? importIdentities(db, request, file, options)
            : tryLines(db, request, drafts, file.total),
      });
      return document.failedTotal > 0 ? { document, exit: 8 } : { document };
    } finally {
      spool.close();
    }
  },
  view: viewIdentityImport,
});

/**
 * A dry run where the environment is protected: each line of the plan as it would be carried out, by itself, to the moments
 * that the plan says.
 */
async function tryLines(
  db: Database,
  { actor, reason }: Request,
  drafts: readonly Draft[],
  total: number,
): Promise<IdentityImportDocument> {
  const { rehearseLine } = await import("../../operations/approval/rehearse.ts");
  for (const draft of drafts) await rehearseLine(db, { actor, reason }, draft);
  return {
    imported: drafts.length,
    unchanged: total - drafts.length,
    identities: drafts.filter(({ line }) => "create" in line && line.create !== null).length,
    credentials: drafts.filter(({ hash }) => hash !== null).length,
    failed: [],
    failedTotal: 0,
  };
}
