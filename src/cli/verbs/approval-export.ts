import * as z from "zod/mini";
import { readRequest } from "../../operations/approval/read.ts";
import { approvalArgument, approvalSchema } from "../approval-documents.ts";
import { writeNewFile } from "../new-file.ts";
import { defineVerb } from "../verb.ts";
import { viewApprovalExport } from "../views/approval-export.ts";

export const approvalExportOutput = z.object({ approval: approvalSchema, file: z.string() });
export type ApprovalExportDocument = z.infer<typeof approvalExportOutput>;

export const approvalExport = defineVerb({
  path: ["approval", "export"],
  summary: "Write a plan's exact bytes into a file, to be signed elsewhere",
  description:
    "For an owner without access to the database: ssh-keygen -Y sign -n midctl-approval@v1 -f KEY FILE makes FILE.sig, which `approval import` takes. The file is the plan and nothing else; its SHA-256 is the digest.",
  examples: [
    { command: "midctl approval export ap_7Zk2mPq90aBc --out plan.json", does: "then ssh-keygen -Y sign" },
  ],
  args: [approvalArgument],
  options: { out: { value: "FILE", summary: "a new file; default: ap_….plan.json" } },
  output: approvalExportOutput,
  async run({ ref, out }, context) {
    const { approval, text } = await readRequest(await context.database(), ref);
    const file = out ?? `${ref}.plan.json`;
    writeNewFile(file, text, { undone: "nothing was exported", hint: "give --out with a new file" });
    return { document: { approval, file } };
  },
  view: viewApprovalExport,
});
