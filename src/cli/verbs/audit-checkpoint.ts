import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { readHead } from "../../operations/audit-checkpoint.ts";
import { openCheckpointKey } from "../checkpoint-key.ts";
import { makeCheckpoint } from "../checkpointing.ts";
import { defineVerb } from "../verb.ts";
import { viewAuditCheckpoint } from "../views/audit-checkpoint.ts";

export const auditCheckpointOutput = z.object({
  /** Which log: midctl/ and the database's id. */
  origin: z.string(),
  size: z.number(),
  /** Base64, of the RFC 9162 tree over that many entries. */
  root: z.string(),
  /** The signed note; null without a key. */
  note: z.nullable(z.string()),
  /** The public key in one line, for `--checkpoint-key`; null without a key. */
  verifierKey: z.nullable(z.string()),
  /** The file of checkpoints; null without --out. */
  file: z.nullable(z.string()),
  /** False where the file ends with the same head already, signed by the same key, and in a dry run. */
  appended: z.boolean(),
  /** How many entries the checkpoint before it in that file saw; the log goes on from there. */
  since: z.nullable(z.number()),
});
export type AuditCheckpointDocument = z.infer<typeof auditCheckpointOutput>;

export const auditCheckpoint = defineVerb({
  path: ["audit", "checkpoint"],
  summary: "Sign the log's head, to be kept where the database cannot reach",
  description:
    "The head is the number of entries and the root of the RFC 9162 tree over them, as a C2SP signed note (tlog-checkpoint). Whoever holds one finds out later whether any of those entries was altered, removed or inserted. With --out it is appended to a file of checkpoints, unless the log does not go on from the last one there: then it was truncated, rewritten or restored from before, and nothing is signed (exit 5).",
  examples: [
    {
      command: "midctl audit checkpoint --key ~/.ssh/log_ed25519 --out /mnt/elsewhere/checkpoints",
      does: "sign the head, and append it",
    },
    { command: "midctl audit checkpoint", does: "the head alone, not signed" },
  ],
  options: {
    key: {
      value: "FILE",
      summary: "an Ed25519 private key without a passphrase, or `agent`: the one that ssh-agent holds",
    },
    out: { value: "FILE", summary: "append to this file of checkpoints, synced; wants --key" },
  },
  output: auditCheckpointOutput,
  async run({ key, out }, context) {
    if (out !== undefined && key === undefined) {
      throw new MidctlError("usage", "--out takes signed checkpoints; nothing was written", {
        hint: "give --key with an Ed25519 key's file, or --key agent",
      });
    }
    const signer = key === undefined ? null : await openCheckpointKey(context, key);
    const db = await context.database();
    if (signer === null) {
      const { origin, size, root } = await readHead(db, null);
      const unsigned = { note: null, verifierKey: null, file: null, appended: false, since: null };
      return { document: { origin, size, root: root.toString("base64"), ...unsigned } };
    }
    const file = out ?? null;
    const made = await makeCheckpoint(db, { key: signer, file }, context);
    return { document: { ...made, root: made.root.toString("base64"), file } };
  },
  view: viewAuditCheckpoint,
});
