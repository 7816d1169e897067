import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { ExportReader, isHead } from "../../domain/log-export.ts";
import { shellWord } from "../../domain/shell-word.ts";
import { acceptHead, compareHead, type HeadComparison } from "../../operations/accept-head.ts";
import { planReconciliation, type Refused, reconcile } from "../../operations/reconcile.ts";
import type { HeadFile } from "../../operations/verifier/head-file.ts";
import type { VerbContext } from "../context.ts";
import { showView } from "../deliver.ts";
import { openHeadFile } from "../head.ts";
import { readExported, readExportFile } from "../log-export-file.ts";
import { requestFrom } from "../request.ts";
import { defineVerb } from "../verb.ts";
import type { View } from "../view.ts";
import { REVIVED, viewAuditReconcile, viewReplayed } from "../views/audit-reconcile.ts";

const headSchema = z.object({
  /** How many entries. */
  size: z.number(),
  /** Base64, of the RFC 9162 tree over them. */
  root: z.string(),
});

export const auditReconcileOutput = z.object({
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  headFile: z.string(),
  /** The highest head that verifiers with this file have seen. */
  kept: headSchema,
  /** The database's. */
  found: headSchema,
  /** Whether the log goes on from what was kept, is shorter, or has other entries in the place of those. */
  growth: z.enum(["goes_on", "shorter", "forked"]),
  /**
   * Entries by index that were seen and are lost: those at least, since a log that has grown after its restore lost more. `from` is null
   * where nobody can tell since when; null for none.
   */
  lost: z.nullable(z.object({ from: z.nullable(z.number()), to: z.number() })),
  /** Whether the head found was put in the place of the one kept. */
  accepted: z.boolean(),
});
export type AuditReconcileDocument = z.infer<typeof auditReconcileOutput>;

const replayedSchema = z.object({
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  export: z.string(),
  /** Entries that the database and the export have in common. */
  common: z.number(),
  /** Entries that the export has and the database lost. */
  forgotten: z.number(),
  /** What those had decided against somebody. */
  steps: z.readonly(
    z.array(
      z.object({
        /** A slug, mc_… or at_…; null for an identity that the database does not know. */
        ref: z.nullable(z.string()),
        does: z.enum(["revoke", "pause", "expire", "idle"]),
        /** RFC 3339, of `expire`. */
        expiresAt: z.nullable(z.string()),
        /** Seconds, of `idle`. */
        idleTtl: z.nullable(z.number()),
        /** Index of the entry that decided it. */
        entry: z.number(),
        action: z.string(),
        at: z.string(),
        /** As it stood before: to be done again, done since, or of something that the database does not know. */
        state: z.enum(["needed", "done", "unknown"]),
        /** Why it was not done again; null where it was, or was not tried. */
        problem: z.nullable(z.string()),
        /** What to do about that; null where nothing is known. */
        hint: z.nullable(z.string()),
      }),
    ),
  ),
  /** What else had narrowed anybody's reach, and is for people to do again. */
  limits: z.readonly(
    z.array(
      z.object({
        /** Index of the entry that decided it last. */
        entry: z.number(),
        action: z.string(),
        at: z.string(),
        /** What is so because it was forgotten. */
        says: z.string(),
        /** The command that does it again; null where none of midctl's does. */
        mend: z.nullable(z.string()),
        state: z.enum(["open", "done"]),
      }),
    ),
  ),
  /** How many forgotten entries there are of each action that is not brought back, and had narrowed nothing. */
  notReplayed: z.record(z.string(), z.number()),
  /**
   * Entries by index that verifiers with the head file saw and neither the export nor the database has: what they had decided is not
   * known; null for none, and without a head file.
   */
  unseen: z.nullable(z.object({ from: z.number(), to: z.number() })),
  /** Whether what was needed was done again. */
  applied: z.boolean(),
});
export type ReplayedDocument = z.infer<typeof replayedSchema>;

export const auditReconcile = defineVerb({
  path: ["audit", "reconcile"],
  summary:
    "Do again what a restored database forgot, or accept what it has lost, by an export or the head that verifiers keep",
  description:
    "With --export an export of the log from before: whatever its entries had revoked, paused, ended sooner or let be idle for less, and the database forgot, is shown, and done again once that is confirmed. What else narrowed somebody's reach (rights of database roles, approvals that were rejected, cancelled or used, protection, deleted workspaces, adoptions, a sunset) is listed with the command that does it again, and is exit 8 while any is open. What widened anybody's reach is not brought back. With --head-file beside it, entries that verifiers saw and the export does not have are told, and are exit 8 too. With --head-file alone it shows which entries verifiers saw that are not there any more (exit 9). With --accept the database's head is put in the place of the one kept, and verifiers with this file accept tokens again, within a second: those too that were revoked or paused in the lost entries. Revoke them again first; verifiers refuse every token meanwhile. The head before is added to PATH.before.",
  examples: [
    {
      command: "midctl audit reconcile --export /mnt/elsewhere/log.jsonl --dry-run",
      does: "what the export knows and the database forgot",
    },
    {
      command: "midctl audit reconcile --export /mnt/elsewhere/log.jsonl",
      does: "and do it again; asks first",
    },
    {
      command: "midctl audit reconcile --head-file /var/lib/midctl-serve/head",
      does: "what the database has lost; changes nothing",
    },
    {
      command: "midctl audit reconcile --head-file /var/lib/midctl-serve/head --accept",
      does: "give it up for lost",
    },
  ],
  options: {
    headFile: { value: "PATH", summary: "the file of serve --head-file; default: MIDCTL_HEAD_FILE" },
    export: {
      value: "FILE",
      summary: "do again what this export of the log knows and the database forgot; shows it first, and asks",
    },
    accept: { summary: "put the database's head in its place; asks first, for the number of entries" },
  },
  output: z.union([auditReconcileOutput, replayedSchema]),
  changes: true,
  async run({ headFile, accept, export: path }, context) {
    if (path !== undefined) {
      if (!accept) return replay(path, openHeadFile(headFile, context), context);
      throw new MidctlError("usage", "--export comes before --accept; nothing was changed", {
        hint: "run it with --export first, and again with --accept once nothing more is needed",
      });
    }
    const file = openHeadFile(headFile, context);
    if (file === null) {
      throw new MidctlError("usage", "no head file is named; nothing was compared", {
        hint: "--head-file PATH, MIDCTL_HEAD_FILE or the context's: the file that midctl serve keeps",
      });
    }
    const comparison = await compareHead(await context.database(), file);
    const { kept, found, growth, lost } = comparison;
    const accepts = accept && lost !== null;
    if (accepts) {
      if (asks(context)) context.notice(REVIVED);
      const others = lost.from === null ? "others than" : "in the place of";
      await context.confirm({
        action: `accept a log of ${found.size} entries, ${others} the ${kept.size} that were seen`,
        name: String(found.size),
      });
      if (!context.dryRun) await acceptHead(file, comparison);
    }
    const accepted = accepts && !context.dryRun;
    const document: AuditReconcileDocument = {
      origin: kept.origin,
      headFile: file.path,
      kept: { size: kept.size, root: kept.root.toString("base64") },
      found: { size: found.size, root: found.root.toString("base64") },
      growth,
      lost,
      accepted,
    };
    const shown = viewAuditReconcile(document, { warned: asks(context) });
    return { document, shown, exit: lost === null || accepts ? 0 : 9 };
  },
  view: (document) => ("steps" in document ? viewReplayed(document) : viewAuditReconcile(document)),
});

/** Whether somebody is asked, and so was warned before. */
function asks(context: VerbContext): boolean {
  return context.canAsk() && !context.yes && !context.dryRun;
}

async function replay(
  path: string,
  file: HeadFile | null,
  context: VerbContext,
): Promise<{ readonly document: ReplayedDocument; readonly shown?: View; readonly exit?: 0 | 8 }> {
  const undone = "nothing was changed";
  const exported = await readExported(path, undone);
  const db = await context.database();
  const plan = await planReconciliation(db, exported, (from, take) => eachEntry(path, from, undone, take));
  const comparison = file === null ? null : await compareHead(db, file);
  const unseen = comparison === null ? null : beyond(comparison, exported.leaves.end);
  const needed = plan.steps.filter(({ state }) => state === "needed").length;
  const documentOf = (refused: readonly Refused[]): ReplayedDocument => ({
    origin: plan.origin,
    export: path,
    common: plan.common,
    forgotten: plan.lost,
    steps: plan.steps.map((step) => {
      const { ref, does, expiresAt, idleTtl, entry, action, at, state } = step;
      const error = refused.find((each) => each.step === step)?.error ?? null;
      const shown = { ref, does, expiresAt, idleTtl, entry, action, at, state };
      return { ...shown, problem: error?.message ?? null, hint: error?.hint ?? null };
    }),
    limits: plan.limits,
    notReplayed: plan.others,
    unseen,
    applied: false,
  });
  if (context.dryRun) return { document: documentOf([]) };
  const isOpen = unseen !== null || plan.limits.some(({ state }) => state === "open");
  const end = (document: ReplayedDocument, failed: boolean) => {
    if (isOpen || failed) return { document, exit: 8 } as const;
    // Where the log goes on from the head that is kept, verifiers decide already.
    const waits = comparison === null ? plan.lost > 0 : comparison.lost !== null;
    return { document, shown: viewReplayed(document, waits ? acceptBy(file) : null), exit: 0 } as const;
  };
  if (needed === 0) return end(documentOf([]), false);
  if (asks(context)) await showView(viewReplayed(documentOf([])), context);
  await context.confirm({
    action: needed === 1 ? "do this again" : `do these ${needed} again`,
    name: String(needed),
  });
  const refused = await reconcile(db, requestFrom(context), plan, (done) => {
    context.standBy(`${done} of ${needed} were done again and stand; the same command does the rest`);
    if (needed > 20) context.progress({ done, failed: 0, of: needed });
  });
  return end({ ...documentOf(refused), applied: true }, refused.length > 0);
}

/** What lets verifiers decide again, once nothing more is to be done. */
function acceptBy(file: HeadFile | null): string {
  const path = file === null ? "PATH" : shellWord(file.path);
  const who = file === null ? "Verifiers that keep a head of the log" : "Verifiers with this head file";
  return `${who} refuse every token until the log is accepted as it is: \`midctl audit reconcile --head-file ${path} --accept\`.`;
}

/** What was seen and lost behind the end of an export. */
function beyond({ lost, kept }: HeadComparison, end: number): ReplayedDocument["unseen"] {
  return lost === null || kept.size <= end ? null : { from: end, to: kept.size - 1 };
}

/** The exact text of each entry from an index on. */
function eachEntry(path: string, from: number, undone: string, take: (entry: string) => void): Promise<void> {
  return readExportFile(path, new ExportReader(path, undone), undone, (line) => {
    if (!isHead(line) && line.index >= from) take(line.entry);
  });
}
