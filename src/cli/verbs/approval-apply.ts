import * as z from "zod/mini";
import { applyApproval } from "../../operations/approval/apply.ts";
import { approvalArgument, approvalSchema } from "../approval-documents.ts";
import { requestFrom } from "../request.ts";
import { requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalApply } from "../views/approval-apply.ts";

export const approvalApplyOutput = z.object({
  changed: z.boolean(),
  approval: approvalSchema,
  /** What this call carried out. */
  results: z.readonly(
    z.array(
      z.object({
        line: z.number(),
        outcome: z.enum(["done", "superseded"]),
        problem: z.nullable(z.string()),
      }),
    ),
  ),
});
export type ApprovalApplyDocument = z.infer<typeof approvalApplyOutput>;

export const approvalApply = defineVerb({
  path: ["approval", "apply"],
  summary: "Carry out what was approved, line by line, each once",
  description:
    "The signatures are judged by the trust root first. Safe to repeat and to run twice at once: what was carried out is not done again, and a call that was killed is gone on with. A line whose target changed since the plan was made is superseded (exit 8 where there are such). A plan already carried out changes nothing.",
  examples: [{ command: "midctl approval apply ap_7Zk2mPq90aBc", does: "carries it out" }],
  args: [approvalArgument],
  output: approvalApplyOutput,
  list: ["results"],
  changes: true,
  async run({ ref }, context) {
    const trust = requireTrustRoot(context);
    const db = await context.database();
    let done = 0;
    const applied = await applyApproval(db, requestFrom(context), trust, ref, () => {
      done++;
      context.standBy(`${done} lines of ${ref} were carried out, and stay so; run the same command to go on`);
    });
    const document: ApprovalApplyDocument = applied;
    return applied.results.some(({ outcome }) => outcome === "superseded")
      ? { document, exit: 8 }
      : { document };
  },
  view: viewApprovalApply,
});
