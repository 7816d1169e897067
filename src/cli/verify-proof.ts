/** `audit verify --proof`: a proof's file is checked by itself, and no database is opened. */
import { isUtf8 } from "node:buffer";
import * as z from "zod/mini";
import type { SignedCheckpoint, VerifierKey } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { judgeProof, LONGEST_PROOF, type LogProof, parseProof } from "../domain/proof.ts";
import { quote } from "../domain/visible.ts";
import { eachCheckpoint } from "./checkpoint-file.ts";
import { readRegularBytes } from "./regular-file.ts";

export const proofVerdictSchema = z.object({
  kind: z.enum(["inclusion", "consistency"]),
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  /** Of the head, the later one of two. */
  size: z.number(),
  /** Of the entry; null in a proof of consistency. */
  index: z.nullable(z.number()),
  /** Its exact text; null in a proof of consistency. */
  entry: z.nullable(z.string()),
  /** Sizes of the two heads; null in a proof of inclusion. */
  from: z.nullable(z.number()),
  to: z.nullable(z.number()),
  /** What vouches for the head: a signature, a checkpoint that was kept elsewhere, or nothing beyond arithmetic. */
  checked: z.enum(["signature", "checkpoint", "arithmetic"]),
  /** Sizes of the heads that are vouched for. */
  vouched: z.readonly(z.array(z.number())),
});
export type ProofVerdict = z.infer<typeof proofVerdictSchema>;

interface ProofInput {
  readonly proof: string;
  /** A file of checkpoints that was kept elsewhere. */
  readonly checkpoint: string | undefined;
  readonly checkpointKey: VerifierKey | undefined;
}

/** @throws MidctlError `usage` for a file that is no proof, `conflict` for a proof that does not hold */
export function verifyProof({ proof: path, checkpoint, checkpointKey }: ProofInput): ProofVerdict {
  const bytes = readRegularBytes(path, LONGEST_PROOF, "nothing was checked");
  if (!isUtf8(bytes)) {
    throw new MidctlError(
      "usage",
      `${quote(path)} is no proof of the log: it is not UTF-8; nothing was checked.`,
    );
  }
  const proof = parseProof(bytes.toString("utf8"));
  const kept = checkpoint === undefined ? null : readKept(checkpoint, proof);
  const verdict = judgeProof(proof, { key: checkpointKey ?? null, kept });
  const { kind, origin, head } = proof;
  return {
    kind,
    origin,
    size: head.size,
    index: kind === "inclusion" ? proof.index : null,
    entry: kind === "inclusion" ? proof.entry : null,
    from: kind === "consistency" ? proof.from.size : null,
    to: kind === "consistency" ? head.size : null,
    ...verdict,
  };
}

/** Those of the proof's log and sizes; there may be very many others. */
function readKept(path: string, proof: LogProof): SignedCheckpoint[] {
  const sizes = proof.kind === "inclusion" ? [proof.head.size] : [proof.from.size, proof.head.size];
  const kept: SignedCheckpoint[] = [];
  for (const each of eachCheckpoint(path, { flag: "--checkpoint", undone: "nothing was checked" })) {
    if (each.origin === proof.origin && sizes.includes(each.size)) kept.push(each);
  }
  return kept;
}
