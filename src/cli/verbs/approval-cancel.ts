import * as z from "zod/mini";
import { cancelRequest } from "../../operations/approval/vote.ts";
import { approvalArgument, approvalSchema } from "../approval-documents.ts";
import { requestFrom } from "../request.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalCancel } from "../views/approval-cancel.ts";

export const approvalCancelOutput = z.object({ changed: z.boolean(), approval: approvalSchema });
export type ApprovalCancelDocument = z.infer<typeof approvalCancelOutput>;

export const approvalCancel = defineVerb({
  path: ["approval", "cancel"],
  summary: "Take a request back",
  description: "Open or approved; what was carried out of it stands.",
  examples: [{ command: "midctl approval cancel ap_7Zk2mPq90aBc", does: "it can be approved no more" }],
  args: [approvalArgument],
  output: approvalCancelOutput,
  changes: true,
  async run({ ref }, context) {
    return { document: await cancelRequest(await context.database(), requestFrom(context), ref) };
  },
  view: viewApprovalCancel,
});
