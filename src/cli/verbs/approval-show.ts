import * as z from "zod/mini";
import type { TrustRoot } from "../../domain/trust.ts";
import {
  type FoundRequest,
  judgeRequest,
  judgeStanding,
  judgeVotes,
  previewLines,
  readRequest,
  type Standing,
} from "../../operations/approval/read.ts";
import { approvalOrFile, approvalSchema, isPlanFile } from "../approval-documents.ts";
import type { VerbContext } from "../context.ts";
import type { SignedFile } from "../plan-file.ts";
import { requestFrom } from "../request.ts";
import { readTrustRoot, requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalShow } from "../views/approval-show.ts";

const effectSchema = z.object({
  do: z.string(),
  target: z.string(),
  changes: z.readonly(
    z.array(z.object({ field: z.string(), from: z.nullable(z.string()), to: z.nullable(z.string()) })),
  ),
});

export const approvalShowOutput = z.object({
  approval: approvalSchema,
  /** The plan itself, as its bytes say. */
  plan: z.record(z.string(), z.unknown()),
  votes: z.readonly(
    z.array(
      z.object({
        kind: z.enum(["request", "approval", "rejection"]),
        principal: z.string(),
        keyFingerprint: z.nullable(z.string()),
        /** null in a file, which keeps no times. */
        at: z.nullable(z.string()),
        holds: z.nullable(z.boolean()),
        fault: z.nullable(z.string()),
      }),
    ),
  ),
  /** What the trust root makes of it; null without one. */
  judgement: z.nullable(
    z.object({
      inForce: z.boolean(),
      /** Why not; first of all that the request has ended, or that the policy does not let its requester break the glass. */
      short: z.nullable(
        z.enum([
          ...["rejected", "cancelled", "superseded", "expired"],
          ...["database", "request_unsigned", "break_glass", "quorum"],
        ] as const),
      ),
      approvers: z.readonly(z.array(z.string())),
      quorum: z.number(),
    }),
  ),
  /** Every line of the plan. */
  lines: z.readonly(
    z.array(
      z.object({
        line: z.number(),
        outcome: z.nullable(z.enum(["done", "superseded"])),
        effect: z.nullable(effectSchema),
        problem: z.nullable(z.string()),
      }),
    ),
  ),
  /** Open lines of which it was not tried what they would change: --all. */
  untried: z.number(),
});
export type ApprovalShowDocument = z.infer<typeof approvalShowOutput>;

/** Lines that are tried where nobody asks for all. */
export const SHOWN = 20;

export const approvalShow = defineVerb({
  path: ["approval", "show"],
  summary: "What a request asks for, in words, what it would change now, and whose signatures hold",
  description:
    "Every line is shown with all that is signed of it. The first open ones are tried in the real transaction and rolled back: what is shown is what would happen now. Signatures are judged by the trust root (--trust-dir); without one they are only listed.",
  examples: [
    { command: "midctl approval show ap_7Zk2mPq90aBc", does: "before approving" },
    {
      command: "midctl approval show ap_7Zk2mPq90aBc --all --json",
      does: "with the effects of every line, for a script",
    },
  ],
  args: [approvalOrFile],
  options: { all: { summary: `the effects of every line; else of the first ${SHOWN}` } },
  output: approvalShowOutput,
  list: ["lines"],
  async run({ ref, all }, context) {
    if (isPlanFile(ref)) {
      const { readPlanFile } = await import("../plan-file.ts");
      return { document: await showFile(requireTrustRoot(context), readPlanFile(ref)) };
    }
    const found = await readRequest(await context.database(), ref);
    return { document: await showRequest(context, found, all ? Number.POSITIVE_INFINITY : SHOWN) };
  },
  view: (document) => viewApprovalShow(document),
});

/** As much as there is to know of a request before one decides on it. */
export async function showRequest(
  context: VerbContext,
  found: FoundRequest,
  most: number,
): Promise<ApprovalShowDocument> {
  const trust = readTrustRoot(context);
  const db = await context.database();
  return {
    approval: found.approval,
    plan: found.plan,
    votes: judgeVotes(trust, found),
    judgement: trust === null ? null : told(judgeStanding(trust, found)),
    ...(await previewLines(db, requestFrom(context), found, most)),
  };
}

/** The same of a plan in a file, whose signatures lie beside it. */
export async function showFile(trust: TrustRoot, file: SignedFile): Promise<ApprovalShowDocument> {
  const { approvalOfFile } = await import("../plan-file.ts");
  const judgement = judgeRequest(trust, file);
  const approval = approvalOfFile(trust, file);
  return {
    approval,
    plan: file.plan,
    votes: judgement.signers.map(({ kind, principal, fingerprint }) => ({
      kind,
      principal,
      keyFingerprint: fingerprint,
      at: null,
      holds: true,
      fault: null,
    })),
    judgement: told(judgeStanding(trust, { ...file, approval })),
    lines: file.plan.lines.map((_, index) => ({
      line: index + 1,
      outcome: null,
      effect: null,
      problem: null,
    })),
    untried: 0,
  };
}

function told({ short, approvers, quorum }: Standing): ApprovalShowDocument["judgement"] {
  return { inForce: short === null, short, approvers, quorum };
}
