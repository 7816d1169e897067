import * as z from "zod/mini";
import { type SignedCheckpoint, writeVerifierKey } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import { LONGEST_PROOF, PROOF_VERSION, proofDocument, writeProof } from "../../domain/proof.ts";
import { quote } from "../../domain/visible.ts";
import { type HeadChoice, proveEntry, proveGrowth, type SignHead } from "../../operations/audit-prove.ts";
import { readLastCheckpoint } from "../checkpoint-file.ts";
import { type CheckpointKey, openCheckpointKey, signHead } from "../checkpoint-key.ts";
import type { VerbContext } from "../context.ts";
import { writeOnce } from "../new-file.ts";
import { warnOfFound } from "../noting.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditProve } from "../views/audit-prove.ts";

export const auditProveOutput = z.object({
  version: z.literal(PROOF_VERSION),
  kind: z.enum(["inclusion", "consistency"]),
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  /** Of the head, the later one of two. */
  size: z.number(),
  /** Base64, of the RFC 9162 tree over that many entries. */
  root: z.string(),
  /** The signed note of the head; null where nobody signed it. */
  checkpoint: z.nullable(z.string()),
  /** Of the entry; null in a proof of consistency. */
  index: z.nullable(z.number()),
  /** Its exact text; null in a proof of consistency. */
  entry: z.nullable(z.string()),
  /** The earlier head; null in a proof of inclusion. */
  from: z.nullable(z.object({ size: z.number(), root: z.string(), checkpoint: z.nullable(z.string()) })),
  /** Hashes in base64, by RFC 9162 §2.1.3.1 and §2.1.4.1. */
  path: z.readonly(z.array(z.string())),
});
export type AuditProveDocument = z.infer<typeof auditProveOutput>;

export const auditProve = defineVerb({
  path: ["audit", "prove"],
  summary: "Prove that an entry is in the log, or that the log goes on from an earlier head",
  description:
    "The proof is one JSON document, which `audit verify --proof` checks without the database. It is as good as its head: with --checkpoint the last one of a file of checkpoints, with --key the log's head signed now, with neither the head unsigned, which whoever checks has to have from elsewhere. --from and --to take a number of entries, or a file of checkpoints, whose last one is meant (a file whose name is a number: ./5).",
  examples: [
    {
      command: "midctl audit prove --event log_41 --checkpoint /mnt/elsewhere/checkpoints --out log_41.proof",
      does: "an entry, against a checkpoint that is there",
    },
    {
      command: "midctl audit prove --event 41 --key ~/.ssh/log_ed25519",
      does: "against the head as it is now, signed",
    },
    {
      command: "midctl audit prove --from /mnt/elsewhere/checkpoints --key agent",
      does: "that the log goes on from the last checkpoint",
    },
  ],
  options: {
    event: {
      value: "EVENT",
      summary: "the entry, as `audit` names it: log_41 or 41",
      schema: readWith(parseEvent),
    },
    key: {
      value: "FILE",
      summary: "sign the head as it is now: an Ed25519 private key without a passphrase, or `agent`",
    },
    checkpoint: { value: "FILE", summary: "prove it against the last one of this file of checkpoints" },
    from: { value: "SIZE|FILE", summary: "the earlier head", schema: readWith(parseHead) },
    to: { value: "SIZE|FILE", summary: "the later head; default: as it is now", schema: readWith(parseHead) },
    out: { value: "FILE", summary: "write the proof into this new file as well" },
  },
  output: auditProveOutput,
  async run({ event, key, checkpoint, from, to, out }, context) {
    if ((event === undefined) === (from === undefined)) {
      throw new MidctlError("usage", "give either --event or --from; nothing was proven", {
        hint: "--event log_41 for an entry, --from SIZE or FILE for what came after an earlier head",
      });
    }
    if (event === undefined ? checkpoint !== undefined : to !== undefined) {
      throw new MidctlError(
        "usage",
        `${event === undefined ? "--checkpoint goes with --event" : "--to goes with --from"}; nothing was proven`,
        { hint: event === undefined ? "--to FILE names the later head" : "--checkpoint FILE names the head" },
      );
    }
    const [later, flag] = event === undefined ? [to, "--to"] : [checkpoint, "--checkpoint"];
    if (key !== undefined && later !== undefined) {
      throw new MidctlError(
        "usage",
        `--key signs the head as it is now, and ${flag} names another; nothing was proven`,
        {
          hint: "give one of the two",
        },
      );
    }
    const earlier = from === undefined ? null : openHead(from, "--from");
    const head = later === undefined ? "now" : openHead(later, flag);
    const signer = key === undefined ? null : await openCheckpointKey(context, key);
    const sign = signer === null ? null : signing(signer, context);
    const db = await context.database();
    if (signer !== null) await warnOfFound(db, context);
    const proof =
      earlier === null
        ? await proveEntry(db, event ?? 0, head, sign)
        : await proveGrowth(db, earlier, head, sign);
    const document = proofDocument(proof);
    const text = writeProof(document);
    if (Buffer.byteLength(text) > LONGEST_PROOF) {
      throw new MidctlError("conflict", `log_${event} is too long for a proof; nothing was proven.`, {
        hint: "Prove with --from and --to that the log holds it, and export the entry itself.",
      });
    }
    if (out === undefined) return { document };
    keep(out, text, context);
    return { document, shown: viewAuditProve(document, out) };
  },
  view: (document) => viewAuditProve(document),
});

function parseEvent(text: string): number {
  const [, digits = ""] = /^(?:log_)?(0|[1-9]\d{0,15})$/.exec(text) ?? [];
  const index = digits === "" ? Number.NaN : Number(digits);
  if (Number.isSafeInteger(index)) return index;
  throw new MidctlError("usage", "this is no entry of the log", {
    hint: text.startsWith("ev_")
      ? "an agent's event is none: `midctl audit` has log_… for those of the log"
      : "such as log_41, or 41",
  });
}

/** A number of entries, or the path of a file. */
function parseHead(text: string): number | string {
  if (text === "") throw new MidctlError("usage", "must not be empty");
  if (!/^-?\d+$/.test(text)) return text;
  const size = Number(text);
  if (/^(?:0|[1-9]\d*)$/.test(text) && Number.isSafeInteger(size)) return size;
  throw new MidctlError("usage", "this is no number of entries", {
    hint: "a whole number from 0 on, or the path of a file of checkpoints",
  });
}

function openHead(given: number | string, flag: string): Exclude<HeadChoice, "now"> {
  if (typeof given === "number") return given;
  const last: SignedCheckpoint | null = readLastCheckpoint(given, { flag, undone: "nothing was proven" });
  if (last !== null) return last;
  throw new MidctlError(
    "usage",
    `${flag}: ${quote(given)} holds no checkpoint, or is not there; nothing was proven.`,
    {
      hint: `midctl audit checkpoint --key KEY --out ${given} makes one`,
    },
  );
}

/** Signs, and says by which key, so that whoever checks can be told. */
function signing(key: CheckpointKey, context: VerbContext): SignHead {
  return async (head) => {
    const { note, by } = await signHead(key, head);
    context.notice(`Verifier key: ${writeVerifierKey(by)}`);
    return note;
  };
}

function keep(path: string, text: string, context: VerbContext): void {
  if (context.dryRun) {
    context.notice(`Dry run: ${path} was not written.`);
    return;
  }
  const isNew = writeOnce(path, text, { undone: "nothing was written", hint: "Give --out a new file." });
  context.notice(isNew ? `Written to ${path}.` : `${path} holds this proof already.`);
}
