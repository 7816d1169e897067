import { approveRequest } from "../../operations/approval/vote.ts";
import { approvalArgument } from "../approval-documents.ts";
import { readRegularFile } from "../regular-file.ts";
import { requestFrom } from "../request.ts";
import { requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewVoted } from "../views/approval-voted.ts";
import { votedOutput } from "./approval-approve.ts";

const LONGEST = 16_384;

export const approvalImport = defineVerb({
  path: ["approval", "import"],
  summary: "Take in an approval that was signed elsewhere",
  description:
    "The signature says whose it is; whoever imports it adds nothing to it. A signature by a key that the trust root does not know, of another plan or made for another purpose is refused.",
  examples: [
    {
      command: "midctl approval import ap_7Zk2mPq90aBc --signature plan.json.sig",
      does: "an owner's approval",
    },
  ],
  args: [approvalArgument],
  options: { signature: { value: "FILE", summary: "what ssh-keygen -Y sign made", required: true } },
  output: votedOutput,
  changes: true,
  async run({ ref, signature }, context) {
    const trust = requireTrustRoot(context);
    const armored = readRegularFile(signature, LONGEST, "nothing was changed");
    const voted = await approveRequest(await context.database(), requestFrom(context), trust, ref, armored);
    return { document: { ...voted, signed: true } };
  },
  view: viewVoted,
});
