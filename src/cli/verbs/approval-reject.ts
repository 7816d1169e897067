import { readRequest } from "../../operations/approval/read.ts";
import { rejectRequest } from "../../operations/approval/vote.ts";
import { approvalArgument } from "../approval-documents.ts";
import { requestFrom } from "../request.ts";
import { openKey } from "../signing.ts";
import { requireTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewVoted } from "../views/approval-voted.ts";
import { votedOutput } from "./approval-approve.ts";

export const approvalReject = defineVerb({
  path: ["approval", "reject"],
  summary: "Reject a request: one rejection ends it",
  description:
    "Also one that is approved and not carried out yet. It need not be signed, since all it can do is stop; with --key it is.",
  examples: [{ command: "midctl approval reject ap_7Zk2mPq90aBc --reason 'not this week'", does: "ends it" }],
  args: [approvalArgument],
  options: { key: { value: "FILE", summary: "sign the rejection with this SSH key; or agent" } },
  output: votedOutput,
  changes: true,
  async run({ ref, key: given }, context) {
    const db = await context.database();
    const signed = given === undefined ? null : await signRejection();
    const voted = await rejectRequest(db, requestFrom(context), ref, signed);
    return { document: { ...voted, signed: signed !== null } };

    async function signRejection() {
      const trust = requireTrustRoot(context);
      const { text } = await readRequest(db, ref);
      const key = await openKey(context, trust, given ?? "");
      return { trust, signature: (await key.sign("rejection", text)).signature };
    }
  },
  view: viewVoted,
});
