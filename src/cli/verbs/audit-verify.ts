import * as z from "zod/mini";
import { type Checkpoint, parseVerifierKey, type VerifierKey } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import { EVIDENCE_AGAINST } from "../../domain/evidence.ts";
import { FINDING_KINDS } from "../../domain/log-findings.ts";
import { type ExportedLog, verifyLog } from "../../operations/audit-verify.ts";
import { readVerified } from "../../operations/evidence.ts";
import { readCheckpoints } from "../checkpoint-file.ts";
import { readExported } from "../log-export-file.ts";
import { noteInDatabase } from "../noting.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { proofVerdictSchema, verifyProof } from "../verify-proof.ts";
import { viewAuditVerify } from "../views/audit-verify.ts";
import { viewProofVerdict } from "../views/verify-proof.ts";

const logVerdictSchema = z.object({
  /** Whether nothing was found. */
  ok: z.boolean(),
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  /** How many entries it had when this began. */
  size: z.number(),
  /** Base64, of the tree over them. */
  root: z.string(),
  /** The first entry that was read; all before it is vouched for by a checkpoint, and was not read. */
  from: z.number(),
  /** What it was checked against: itself alone, an export, checkpoints, or checkpoints signed by the key that was given. */
  against: z.enum(EVIDENCE_AGAINST),
  /** How many entries the log has by the export that it was compared with; null without one. */
  exported: z.nullable(z.number()),
  /** The first and the last entry that were compared with those in the export; null where none was. */
  compared: z.nullable(z.object({ from: z.number(), to: z.number() })),
  /** How many checkpoints were compared. */
  checkpoints: z.number(),
  /** The size of the largest checkpoint that agrees; null where none does. */
  anchored: z.nullable(z.number()),
  /** What is wrong, at most a hundred; entries by index. */
  findings: z.readonly(
    z.array(
      z.object({
        kind: z.enum(FINDING_KINDS),
        from: z.nullable(z.number()),
        to: z.nullable(z.number()),
        /** The agent event that it is about, ev_…. */
        event: z.nullable(z.string()),
        says: z.string(),
      }),
    ),
  ),
  found: z.number(),
  /** What agents did, as it is sealed in the batches that were read; null for whoever does not see all events. */
  events: z.nullable(z.object({ sealed: z.number(), pruned: z.number(), unsealed: z.number() })),
});
export type LogVerdict = z.infer<typeof logVerdictSchema>;

/** Entries that are not read in a moment. */
const LONG = 20_000;

export const auditVerify = defineVerb({
  path: ["audit", "verify"],
  summary: "Read the whole log and find what was altered, removed or put in (exit 9)",
  description:
    "Hashes every entry anew and compares it with the tree that grew with the log, and both with checkpoints that were kept elsewhere. Without --checkpoint the log is compared with itself alone: whoever can rewrite the whole database is not found that way.",
  examples: [
    {
      command: "midctl audit verify --checkpoint /mnt/elsewhere/checkpoints",
      does: "against every checkpoint of the file",
    },
    {
      command: "midctl audit verify --checkpoint /mnt/elsewhere/checkpoints --new",
      does: "only what came after the last of them that was verified",
    },
    { command: "midctl audit verify", does: "the log against itself" },
    {
      command: "midctl audit verify --export /mnt/elsewhere/log.jsonl",
      does: "each entry against the one that was exported",
    },
    {
      command: "midctl audit verify --proof log_41.proof --checkpoint /mnt/elsewhere/checkpoints",
      does: "what `audit prove` wrote, without the database",
    },
  ],
  options: {
    checkpoint: { value: "FILE", summary: "a file of checkpoints, as `audit checkpoint --out` writes it" },
    checkpointKey: {
      value: "KEY",
      summary:
        "origin+id+key, as `audit checkpoint` prints it: each checkpoint, or the proof's head, must be signed by it",
      schema: readWith(readVerifierKey),
    },
    export: { value: "FILE", summary: "compare each entry with what `audit export` wrote to this file" },
    proof: {
      value: "FILE",
      summary: "check what `audit prove` or `audit export` wrote; no database is opened",
    },
    new: {
      summary: "go on from the last checkpoint that was verified; what is before it is judged by the tree",
    },
  },
  output: z.union([logVerdictSchema, proofVerdictSchema]),
  async run(input, context) {
    const { checkpoint, checkpointKey, proof, export: file } = input;
    if (proof !== undefined) {
      if (!input.new && file === undefined)
        return { document: await verifyProof({ proof, checkpoint, checkpointKey }) };
      throw new MidctlError(
        "usage",
        `${input.new ? "--new" : "--export"} is of a database, and --proof is checked without one; nothing was checked`,
        {
          hint: input.new
            ? "leave --new out"
            : "give the export to --proof to check it by itself, or to --export to check the database against it",
        },
      );
    }
    if (checkpoint === undefined && (checkpointKey !== undefined || input.new)) {
      throw new MidctlError(
        "usage",
        "--checkpoint-key and --new go with --checkpoint; nothing was verified",
        {
          hint: "give --checkpoint with a file of checkpoints",
        },
      );
    }
    const seen = checkpoint === undefined ? [] : readCheckpoints(checkpoint, checkpointKey ?? null);
    if (file !== undefined && input.new) {
      throw new MidctlError(
        "usage",
        "--export compares each entry, and --new reads few; nothing was verified",
        {
          hint: "give one of the two",
        },
      );
    }
    const exported = file === undefined ? null : await readExported(file, "nothing was verified");
    const db = await context.database();
    const { root, findings, found, disputed, agreed, ...verified } = await verifyLog(db, {
      checkpoints: seen,
      exported,
      verified: input.new ? await readVerified(db, { signed: checkpointKey !== undefined }) : 0,
      onProgress: everyFiftieth((done, of) => context.progress({ done, failed: 0, of })),
    });
    const document: LogVerdict = {
      ok: found === 0,
      ...verified,
      root: root.toString("base64"),
      against:
        seen.length === 0
          ? exported === null
            ? "itself"
            : "export"
          : checkpointKey === undefined
            ? "checkpoint"
            : "signed_checkpoint",
      exported: exported?.head.size ?? null,
      compared: comparedOf(exported, verified),
      findings,
      found,
    };
    // A checkpoint of another log says nothing of this one.
    if (found === 0 || findings.some(({ kind }) => kind !== "foreign")) {
      const { against, from, size } = document;
      const compared = reachOf(document, seen);
      await noteInDatabase(db, context, {
        ...({ what: "verified", against, from, size, root, found, compared } as const),
        ...{ disputed, agreed },
      });
    }
    return found === 0 ? { document } : { document, exit: 9 };
  },
  view: (document) => ("kind" in document ? viewProofVerdict(document) : viewAuditVerify(document)),
});

/** How many entries what is from elsewhere speaks of: all that it saw where something was found, and else what it bears out. */
function reachOf(
  { origin, against, found, compared, exported, anchored }: LogVerdict,
  seen: readonly Checkpoint[],
): number {
  if (against === "itself") return 0;
  if (found > 0) {
    const sizes = seen.filter((each) => each.origin === origin).map(({ size }) => size);
    return Math.max(0, exported ?? 0, ...sizes);
  }
  return against === "export" ? (compared?.to ?? -1) + 1 : (anchored ?? 0);
}

/** An export may begin later than the log, end before it, or be of another one. */
function comparedOf(
  exported: ExportedLog | null,
  { origin, size }: Pick<LogVerdict, "origin" | "size">,
): LogVerdict["compared"] {
  if (exported === null || exported.head.origin !== origin) return null;
  const { begin, end } = exported.leaves;
  const to = Math.min(end, size) - 1;
  return begin > to ? null : { from: begin, to };
}

/** Says how far it has come where that takes long enough to ask, and no more often than anybody reads. */
function everyFiftieth(tell: (done: number, of: number) => void): (done: number, of: number) => void {
  let told = 0;
  return (done, of) => {
    if (of < LONG || (done - told < of / 50 && done < of)) return;
    told = done;
    tell(done, of);
  };
}

function readVerifierKey(text: string): VerifierKey {
  const key = parseVerifierKey(text);
  if (key !== null) return key;
  throw new MidctlError("usage", "it is no verifier key", {
    hint: "origin+id+key in one line, as midctl audit checkpoint --key prints it",
  });
}
