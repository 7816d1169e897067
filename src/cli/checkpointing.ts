/** Makes checkpoints into a file: by `audit checkpoint`, by `sweep`, and on schedule by `serve`. */
import type { Tx } from "../db/database.ts";
import { judgeNote, writeVerifierKey } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { readHead } from "../operations/audit-checkpoint.ts";
import { appendCheckpoint, readLastCheckpoint } from "./checkpoint-file.ts";
import { type CheckpointKey, openCheckpointKey, signHead } from "./checkpoint-key.ts";
import type { VerbContext } from "./context.ts";
import { noteInDatabase, warnOfFound } from "./noting.ts";

/** Of what runs by itself, in `sweep` and `serve`. */
export const CHECKPOINT_OPTIONS = {
  checkpointOut: {
    value: "FILE",
    summary:
      "append the log's head to this file of checkpoints, wherever it has grown; wants --checkpoint-signer",
  },
  checkpointSigner: {
    value: "FILE",
    summary: "what signs them: an Ed25519 private key without a passphrase, or `agent`",
  },
} as const;

export interface CheckpointPlace {
  readonly key: CheckpointKey;
  readonly file: string;
}

export interface MadeCheckpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
  /** The public key in one line. */
  readonly verifierKey: string;
  /** False where the file ends with the same head already, signed by the same key, and in a dry run. */
  readonly appended: boolean;
  /** How many entries the checkpoint before it saw; null where there was none. */
  readonly since: number | null;
}

/**
 * The options of `CHECKPOINT_OPTIONS` as a place; null where neither was given.
 * @throws MidctlError `usage` for one without the other, and for what cannot sign
 */
export async function openCheckpointPlace(
  context: VerbContext,
  {
    checkpointOut,
    checkpointSigner,
  }: { readonly [Name in keyof typeof CHECKPOINT_OPTIONS]?: string | undefined },
): Promise<CheckpointPlace | null> {
  if (checkpointOut === undefined && checkpointSigner === undefined) return null;
  if (checkpointOut === undefined || checkpointSigner === undefined) {
    throw new MidctlError("usage", "--checkpoint-out and --checkpoint-signer go together; nothing was done", {
      hint: "give the file of checkpoints, and the key that signs them",
    });
  }
  return { file: checkpointOut, key: await openCheckpointKey(context, checkpointSigner) };
}

/**
 * Signs the log's head and appends it to the file, unless the log does not go on from the last one there.
 * @param file null to sign alone
 * @throws MidctlError `conflict` where it does not, `usage` for a file that cannot be used
 */
export async function makeCheckpoint(
  db: Tx,
  { key, file }: { readonly key: CheckpointKey; readonly file: string | null },
  context: Pick<VerbContext, "dryRun" | "notice">,
): Promise<MadeCheckpoint> {
  const last = file === null ? null : readLastCheckpoint(file);
  const head = await readHead(db, last);
  await warnOfFound(db, context);
  const { note, by } = await signHead(key, head);
  const isNew = last?.size !== head.size || judgeNote(last, by) !== "good";
  const appended = file !== null && isNew && !context.dryRun;
  if (appended) appendCheckpoint(file, note);
  if (file !== null) {
    const { size, root } = head;
    await noteInDatabase(db, context, {
      what: "anchored",
      against: "checkpoint",
      from: 0,
      size,
      root,
    });
  }
  return { ...head, note, verifierKey: writeVerifierKey(by), appended, since: last?.size ?? null };
}

export interface KeptCheckpoints {
  /** How many entries the last one saw, and whether the last attempt succeeded. */
  readonly state: { readonly size: number | null; readonly ok: boolean };
  /** Waits for what is under way. */
  stop(): Promise<void>;
}

/**
 * Makes a checkpoint at once, and then again and again. What goes wrong later is reported, each trouble once, and tried again.
 * @param every milliseconds between them
 * @throws MidctlError `usage` for a file that cannot be used
 */
export async function keepCheckpoints(
  db: Tx,
  place: CheckpointPlace,
  every: number,
  report: (error: unknown) => void,
  notice: (text: string) => void,
): Promise<KeptCheckpoints> {
  let state: KeptCheckpoints["state"] = { size: null, ok: true };
  let told = "";
  const noticed = new Set<string>();
  const once = (text: string): void => {
    if (!noticed.has(text)) notice(text);
    noticed.add(text);
  };
  const attempt = async (): Promise<void> => {
    const { size } = await makeCheckpoint(db, place, { dryRun: false, notice: once });
    state = { size, ok: true };
    told = "";
  };
  const note = (error: unknown): void => {
    state = { ...state, ok: false };
    const says = error instanceof Error ? error.message : String(error);
    if (says !== told) report(error);
    told = says;
  };
  await attempt().catch((error: unknown) => {
    if (error instanceof MidctlError && error.code === "usage") throw error;
    note(error);
  });
  let underWay = Promise.resolve();
  const timer = setInterval(() => {
    underWay = underWay.then(attempt).catch(note);
  }, every);
  // What it serves keeps the program running, and this alone does not.
  timer.unref();
  return {
    get state() {
      return state;
    },
    stop: () => {
      clearInterval(timer);
      return underWay;
    },
  };
}
