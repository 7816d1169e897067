import { readFileSync, statSync } from "node:fs";
import { MidctlError } from "../../domain/errors.ts";
import { approveRequest } from "../../operations/approval/vote.ts";
import { approvalArgument } from "../approval-documents.ts";
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
    const armored = readSignature(signature);
    return {
      document: await approveRequest(await context.database(), requestFrom(context), trust, ref, armored),
    };
  },
  view: viewVoted,
});

function readSignature(path: string): string {
  try {
    if (statSync(path).size > LONGEST)
      throw new MidctlError("usage", `${path} is too large for a signature; nothing was changed`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof MidctlError) throw error;
    throw new MidctlError(
      "usage",
      `${path} cannot be read (${(error as NodeJS.ErrnoException).code}); nothing was changed`,
    );
  }
}
