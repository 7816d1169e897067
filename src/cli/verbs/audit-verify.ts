import { parseVerifierKey, type VerifierKey } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { proofVerdictSchema, verifyProof } from "../verify-proof.ts";
import { viewProofVerdict } from "../views/verify-proof.ts";

export const auditVerify = defineVerb({
  path: ["audit", "verify"],
  summary: "Check a proof of the log, without the database",
  description:
    "A proof shows that its head is of a log with that entry, or of one that goes on from an earlier head. Whose head it is, is another question: --checkpoint-key says who has to have signed it, --checkpoint which file of checkpoints has to have it, and with neither nobody vouches for it. A proof that does not hold: exit 5, and the message names what fails.",
  examples: [
    {
      command: "midctl audit verify --proof log_41.proof --checkpoint /mnt/elsewhere/checkpoints",
      does: "by checkpoints that were kept",
    },
    {
      command: "midctl audit verify --proof log_41.proof --checkpoint-key 'midctl/4100…+a7c26d26+ARVr…'",
      does: "by the key that signs them",
    },
  ],
  options: {
    proof: { value: "FILE", summary: "what `audit prove` wrote", required: true },
    checkpoint: {
      value: "FILE",
      summary: "a file of checkpoints, one of which has to be of the proof's head",
    },
    checkpointKey: {
      value: "KEY",
      summary: "the verifier key that `audit checkpoint` printed, which has to have signed the head",
      schema: readWith(readKey),
    },
  },
  output: proofVerdictSchema,
  async run(input) {
    return { document: verifyProof(input) };
  },
  view: viewProofVerdict,
});

function readKey(text: string): VerifierKey {
  const key = parseVerifierKey(text);
  if (key !== null) return key;
  throw new MidctlError("usage", "this is no verifier key", {
    hint: "it is one word, origin+id+key, as `midctl audit checkpoint --key` prints it",
  });
}
