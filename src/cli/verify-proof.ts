/** `audit verify --proof`: a file of a proof, or of an export, is checked by itself, and no database is opened. */
import { isUtf8 } from "node:buffer";
import { statSync } from "node:fs";
import * as z from "zod/mini";
import type { SignedCheckpoint, VerifierKey } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { ExportJudge } from "../domain/export-judge.ts";
import { ExportReader } from "../domain/log-export.ts";
import { judgeProof, LONGEST_PROOF, type LogProof, parseProof } from "../domain/proof.ts";
import { quote } from "../domain/visible.ts";
import { eachCheckpoint, readCheckpoints } from "./checkpoint-file.ts";
import { isExportFile, readExportFile } from "./log-export-file.ts";
import { readRegularBytes } from "./regular-file.ts";

export const proofVerdictSchema = z.object({
  kind: z.enum(["inclusion", "consistency", "export"]),
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  /** Of the head, the later one of two. */
  size: z.number(),
  /** Of the entry; null in all but a proof of inclusion. */
  index: z.nullable(z.number()),
  /** Its exact text; null in all but a proof of inclusion. */
  entry: z.nullable(z.string()),
  /** Sizes of the two heads, or of an export's first and last; null in a proof of inclusion. */
  from: z.nullable(z.number()),
  to: z.nullable(z.number()),
  /** What vouches for the head: a signature, a checkpoint that was kept elsewhere, or nothing beyond arithmetic. */
  checked: z.enum(["signature", "checkpoint", "arithmetic"]),
  /** Sizes of the heads that are vouched for. */
  vouched: z.readonly(z.array(z.number())),
});
export type ProofVerdict = z.infer<typeof proofVerdictSchema>;

const UNDONE = "nothing was checked";

interface ProofInput {
  readonly proof: string;
  /** A file of checkpoints that was kept elsewhere. */
  readonly checkpoint: string | undefined;
  readonly checkpointKey: VerifierKey | undefined;
}

/** @throws MidctlError `usage` for a file that is no proof, `conflict` for a proof that does not hold */
export async function verifyProof(input: ProofInput): Promise<ProofVerdict> {
  return isExportFile(input.proof) ? verifyExport(input) : verifyOne(input);
}

/** An export is held against its own heads, and its entries against the checkpoints that saw them. */
async function verifyExport({ proof: path, checkpoint, checkpointKey }: ProofInput): Promise<ProofVerdict> {
  const key = checkpointKey ?? null;
  const kept = checkpoint === undefined ? null : readCheckpoints(checkpoint, key);
  const reader = new ExportReader(path, UNDONE);
  const judge = new ExportJudge(reader, { key, kept });
  await readExportFile(path, reader, UNDONE, (line) => judge.take(line));
  const { head, ...verdict } = judge.end();
  const { origin, size } = head;
  const from = reader.first?.size ?? 0;
  return { kind: "export", origin, size, index: null, entry: null, from, to: size, ...verdict };
}

function verifyOne({ proof: path, checkpoint, checkpointKey }: ProofInput): ProofVerdict {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LONGEST_PROOF) {
    throw new MidctlError(
      "usage",
      `${quote(path)} is larger than any proof, and does not begin as an export of the log does; ${UNDONE}.`,
      { hint: "Give a file of `midctl audit prove` or `midctl audit export`, as it was written." },
    );
  }
  const bytes = readRegularBytes(path, LONGEST_PROOF, UNDONE);
  if (!isUtf8(bytes)) {
    throw new MidctlError("usage", `${quote(path)} is no proof of the log: it is not UTF-8; ${UNDONE}.`);
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
  for (const each of eachCheckpoint(path, { flag: "--checkpoint", undone: UNDONE })) {
    if (each.origin === proof.origin && sizes.includes(each.size)) kept.push(each);
  }
  return kept;
}
