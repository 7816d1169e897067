import { setTimeout as wait } from "node:timers/promises";
import * as z from "zod/mini";
import { parseDuration } from "../../domain/duration.ts";
import { judgeStanding, readRequest } from "../../operations/approval/read.ts";
import { type ApprovalDocument, approvalArgument, approvalSchema } from "../approval-documents.ts";
import { readWith } from "../parse.ts";
import { readTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalWait } from "../views/approval-wait.ts";

export const approvalWaitOutput = z.object({
  approval: approvalSchema,
  /** Whether the trust root agrees with what the database counts; null without one. */
  inForce: z.nullable(z.boolean()),
  /** Why it does not. */
  short: z.nullable(z.string()),
});
export type ApprovalWaitDocument = z.infer<typeof approvalWaitOutput>;

/** Between two looks, ms. */
const LOOK = 1_000;
const DEFAULT_TIMEOUT = 3600;

const EXIT = {
  approved: 0,
  executed: 0,
  uncountersigned: 6,
  countersigned: 0,
  rejected: 4,
  cancelled: 5,
  superseded: 5,
  expired: 5,
  open: 6,
} as const;

/** What the database says of votes that it counted, and a trust root may not believe. */
const COUNTED: ReadonlySet<ApprovalDocument["status"]> = new Set(["approved", "countersigned"]);

export const approvalWait = defineVerb({
  path: ["approval", "wait"],
  summary: "Wait until a request is decided; the exit code says how",
  description:
    "Exit 0: approved (or carried out already), 4: rejected, 5: expired, superseded or cancelled, 6: still open when the time was up. Of break-glass, 0 is countersigned. With a trust root, approved is what its signatures say.",
  examples: [
    {
      command: "midctl approval wait ap_7Zk2mPq90aBc --timeout 1h && midctl approval apply ap_7Zk2mPq90aBc",
      does: "in a pipeline",
    },
  ],
  args: [approvalArgument],
  options: {
    timeout: {
      value: "1h",
      summary: "so long; default: 1h",
      schema: readWith((text) => parseDuration(text, { atLeast: 0 })),
    },
  },
  output: approvalWaitOutput,
  async run({ ref, timeout }, context) {
    const trust = readTrustRoot(context);
    const db = await context.database();
    const until = performance.now() + (timeout ?? DEFAULT_TIMEOUT) * 1000;
    if (trust === null) {
      context.notice("nobody judges the signatures: no trust root is named (--trust-dir)");
    }
    for (;;) {
      const found = await readRequest(db, ref);
      const { approval } = found;
      const short = trust === null ? null : judgeStanding(trust, found).short;
      const believed = short === null || !COUNTED.has(approval.status);
      const decided = approval.status !== "open" && approval.status !== "uncountersigned" && believed;
      const left = until - performance.now();
      if (decided || left <= 0) {
        const document = { approval, inForce: trust === null ? null : short === null, short };
        const exit = decided ? EXIT[approval.status] : 6;
        return exit === 0 ? { document } : { document, exit };
      }
      await wait(Math.min(LOOK, left));
    }
  },
  view: viewApprovalWait,
});
