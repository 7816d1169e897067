import * as z from "zod/mini";
import { writeVerifierKey } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type ExportedHead, writeExportLine } from "../../domain/log-export.ts";
import { type ExportPlan, exportLog } from "../../operations/audit-export.ts";
import { type CheckpointKey, openCheckpointKey, signHead } from "../checkpoint-key.ts";
import type { VerbContext } from "../context.ts";
import { ignoreClosedPipe } from "../deliver.ts";
import { type ExportFile, openExportFile } from "../log-export-file.ts";
import { noteInDatabase, warnOfFound } from "../noting.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { type HeadAlone, viewAuditExport } from "../views/audit-export.ts";

export const auditExportOutput = z.object({
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  file: z.string(),
  /** How many entries the file had, or were left out of a new one. */
  from: z.number(),
  /** How many entries the log has by the file's last head. */
  size: z.number(),
  /** Base64, of the RFC 9162 tree over that many entries. */
  root: z.string(),
  /** Entries written by this run. */
  exported: z.number(),
  /** The signed note of the last head; null without a key. */
  note: z.nullable(z.string()),
  /** The public key in one line, for `--checkpoint-key`; null without a key. */
  verifierKey: z.nullable(z.string()),
});
export type AuditExportDocument = z.infer<typeof auditExportOutput>;

export const auditExport = defineVerb({
  path: ["audit", "export"],
  summary: "Write the log to a file that is checked without the database",
  description:
    "Lines of canonical JSON: the entries in their exact text, and heads between them that say what tree they come to. Run again with the same file it goes on from the last head there, also after an interruption, unless the log does not go on from there: then it was truncated, rewritten or restored from before, and nothing is written (exit 5). `audit verify --proof FILE` checks the file by itself, `audit verify --export FILE` the database against it.",
  examples: [
    { command: "midctl audit export --out /mnt/elsewhere/log.jsonl", does: "all of it, or what is new" },
    {
      command: "midctl audit export --key ~/.ssh/log_ed25519 --out /mnt/elsewhere/log.jsonl",
      does: "and sign what it comes to",
    },
    { command: "midctl audit export --out - | gzip > log.jsonl.gz", does: "into a pipe" },
  ],
  options: {
    out: {
      value: "FILE",
      summary: "begin this file, or go on with it; - for standard output",
      required: true,
    },
    key: {
      value: "FILE",
      summary: "sign the last head: an Ed25519 private key without a passphrase, or `agent`",
    },
    from: {
      value: "N",
      summary: "leave out the first N entries of a new file; default: 0",
      schema: readWith(parseSize),
    },
  },
  output: auditExportOutput,
  async run({ out, key, from }, context) {
    const signer = key === undefined ? null : await openCheckpointKey(context, key);
    if (context.dryRun) {
      throw new MidctlError("usage", "an export cannot be rehearsed; nothing was exported", {
        hint: "leave --dry-run out: an export changes nothing but its own file",
      });
    }
    const db = await context.database();
    if (signer !== null) await warnOfFound(db, context);
    if (out === "-") {
      const plan = await exportLog(db, from ?? 0);
      return {
        begun: null,
        until: () =>
          ignoreClosedPipe(async () => {
            await write(plan, signer, context, (text) => context.terminal.writeResult(text), true);
          }),
      };
    }
    const file = await openExportFile(out);
    try {
      const { document, alone } = await writeTo(file, out, from).catch((error: unknown) => {
        throw isDatabaseGone(error) ? lost(error, file, out) : error;
      });
      file.close();
      return { document, shown: viewAuditExport(document, alone) };
    } finally {
      file.close();
    }

    async function writeTo(to: ExportFile, path: string, left: number | undefined) {
      const { last, unfinished, unlocked } = to;
      if (unlocked !== null) {
        context.notice(`${path} could not be locked (${unlocked}): export to it once at a time.`);
      }
      if (last !== null && left !== undefined) {
        throw new MidctlError(
          "usage",
          "--from is of a new file, and this one goes on; nothing was exported",
          {
            hint: "leave --from out, or give --out a new file",
          },
        );
      }
      const plan = await exportLog(db, last ?? left ?? 0);
      if (unfinished > 0) {
        to.append("");
        context.notice(`Cut off ${unfinished} bytes behind the last head, which an interrupted export left.`);
      }
      context.standBy(`${path} is sound up to its last head; the same command goes on from there`);
      const { head, exported, verifierKey, alone } = await write(
        plan,
        signer,
        context,
        async (text) => to.append(text),
        last === null,
      );
      const { size, root } = head;
      await noteInDatabase(db, context, {
        what: "anchored",
        against: "export",
        from: plan.begin.size,
        size,
        root,
      });
      const document: AuditExportDocument = {
        origin: head.origin,
        file: path,
        from: plan.begin.size,
        size: head.size,
        root: head.root.toString("base64"),
        exported,
        note: head.checkpoint,
        verifierKey,
      };
      return { document, alone };
    }
  },
  view: viewAuditExport,
});

/** Whether the database went away, and not an agent that signs. */
function isDatabaseGone(error: unknown): error is MidctlError {
  if (!(error instanceof MidctlError) || error.code !== "unavailable") return false;
  return typeof (error.details.reason ?? error.details.sqlState) === "string";
}

/** What there is when the database went away, as an interruption says it. */
function lost({ message, details }: MidctlError, file: ExportFile, path: string): MidctlError {
  const said = message.replace(/\.$/, "");
  return file.hasHead()
    ? new MidctlError("unavailable", `${said}; ${path} is sound up to its last head.`, {
        hint: "Check that the server runs; the same command goes on from that head.",
        details,
      })
    : new MidctlError("unavailable", `${said}; nothing was exported.`, {
        hint: "Check that the server runs, and run the same command again.",
        details,
      });
}

interface Written {
  readonly head: ExportedHead;
  readonly exported: number;
  readonly verifierKey: string | null;
  readonly alone: HeadAlone;
}

/** Entries that are not written in a moment. */
const LONG = 20_000;

async function write(
  plan: ExportPlan,
  signer: CheckpointKey | null,
  context: VerbContext,
  append: (text: string) => Promise<void>,
  isNew: boolean,
): Promise<Written> {
  const of = plan.size - plan.begin.size;
  const sign = async (head: ExportedHead): Promise<{ head: ExportedHead; verifierKey: string | null }> => {
    if (signer === null) return { head, verifierKey: null };
    const { note, by } = await signHead(signer, head);
    return { head: { ...head, checkpoint: note }, verifierKey: writeVerifierKey(by) };
  };
  let last = { head: plan.begin, verifierKey: null as string | null };
  if (of === 0) {
    last = await sign(plan.begin);
    // Said once, not each time that nothing is new.
    const isSigned = last.head.checkpoint !== plan.begin.checkpoint;
    if (isNew || isSigned) await append(writeExportLine(last.head));
    return { ...last, exported: 0, alone: isNew ? "began" : isSigned ? "signed" : "stands" };
  }
  // Nothing is written before the first part has been held against the tree.
  let before = isNew ? writeExportLine(plan.begin) : "";
  for await (const { entries, head } of plan.parts()) {
    last = head.size === plan.size ? await sign(head) : { head, verifierKey: null };
    await append(before + [...entries, last.head].map(writeExportLine).join(""));
    before = "";
    if (of >= LONG) context.progress({ done: head.size - plan.begin.size, failed: 0, of });
  }
  return { ...last, exported: of, alone: "stands" };
}

function parseSize(text: string): number {
  const size = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(size)) return size;
  throw new MidctlError("usage", "this is no number of entries", { hint: "a whole number from 0 on" });
}
