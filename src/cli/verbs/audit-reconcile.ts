import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { acceptHead, compareHead } from "../../operations/accept-head.ts";
import { openHeadFile } from "../head.ts";
import { defineVerb } from "../verb.ts";
import { REVIVED, viewAuditReconcile } from "../views/audit-reconcile.ts";

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
  /** Entries by index that were seen and are lost; `from` is null where nobody can tell since when; null for none. */
  lost: z.nullable(z.object({ from: z.nullable(z.number()), to: z.number() })),
  /** Whether the head found was put in the place of the one kept. */
  accepted: z.boolean(),
});
export type AuditReconcileDocument = z.infer<typeof auditReconcileOutput>;

export const auditReconcile = defineVerb({
  path: ["audit", "reconcile"],
  summary:
    "Compare the log with the head that verifiers keep, and accept what a failover or a restore has lost",
  description:
    "Shows which entries were seen and are not there any more (exit 9). With --accept the database's head is put in the place of the one kept, and verifiers with this file accept tokens again, within a second: those too that were revoked or paused in the lost entries. Revoke them again first; verifiers refuse every token meanwhile. The head before is added to PATH.before.",
  examples: [
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
    accept: { summary: "put the database's head in its place; asks first, for the number of entries" },
  },
  output: auditReconcileOutput,
  changes: true,
  async run({ headFile, accept }, context) {
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
      if (context.canAsk() && !context.yes) context.notice(REVIVED);
      const others = lost.from === null ? "others than" : "in the place of";
      await context.confirm({
        action: `accept a log of ${found.size} entries, ${others} the ${kept.size} that were seen,`,
        name: String(found.size),
      });
      if (!context.dryRun) await acceptHead(file, comparison);
    }
    const accepted = accepts && !context.dryRun;
    return {
      document: {
        origin: kept.origin,
        headFile: file.path,
        kept: { size: kept.size, root: kept.root.toString("base64") },
        found: { size: found.size, root: found.root.toString("base64") },
        growth,
        lost,
        accepted,
      },
      exit: lost === null || accepts ? 0 : 9,
    };
  },
  view: viewAuditReconcile,
});
