/** The key that signs checkpoints: an Ed25519 key of OpenSSH's, in a file without a passphrase or in an agent. */
import { createPublicKey, sign } from "node:crypto";
import { statSync } from "node:fs";
import {
  type Checkpoint,
  checkpointText,
  type VerifierKey,
  verifierKey,
  writeNote,
} from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { shellWord } from "../domain/shell-word.ts";
import { parsePrivateKey } from "../domain/ssh-private-key.ts";
import type { VerbContext } from "./context.ts";
import { readRegularFile } from "./regular-file.ts";
import { listAgentKeys, signByAgent } from "./ssh-agent.ts";

export interface CheckpointKey {
  /** The Ed25519 point, 32 bytes. */
  readonly publicKey: Buffer;
  sign(text: string): Promise<Buffer>;
}

const LONGEST = 64 * 1024;
const MAKE_ONE = "ssh-keygen -t ed25519 makes one";
const FAULTS = {
  encrypted: ["has a passphrase", "ssh-add it, then --key agent"],
  other_type: ["is no Ed25519 key, and notes are signed with those alone", MAKE_ONE],
  malformed: ["is no private key", MAKE_ONE],
} as const;

/**
 * @param given a private key's file, or `agent`: the one Ed25519 key that it holds
 * @throws MidctlError `usage` for what cannot sign
 */
export async function openCheckpointKey(context: VerbContext, given: string): Promise<CheckpointKey> {
  return given === "agent" ? fromAgent(context) : fromFile(given);
}

/** A head as a note that this key has signed, and the public half under the name of the head's log. */
export async function signHead(
  key: CheckpointKey,
  head: Omit<Checkpoint, "extensions">,
): Promise<{ readonly note: string; readonly by: VerifierKey }> {
  const text = checkpointText(head);
  const by = verifierKey(head.origin, key.publicKey);
  const signature = { name: by.name, keyId: by.id, signature: await key.sign(text) };
  return { note: writeNote({ text, signatures: [signature] }), by };
}

function fromFile(path: string): CheckpointKey {
  const read = parsePrivateKey(readRegularFile(path, LONGEST, "nothing was signed"));
  if ("fault" in read) {
    const [what, hint] = FAULTS[read.fault];
    throw new MidctlError("usage", `the file ${path} ${what}; nothing was signed`, { hint });
  }
  if (isOpenToOthers(path)) {
    throw new MidctlError(
      "usage",
      `the private key ${path} may be read by others than its owner; nothing was signed`,
      { hint: `make another key if anybody may have read it; else: chmod 600 ${shellWord(path)}` },
    );
  }
  const { key } = read;
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  return {
    publicKey: Buffer.from(x, "base64url"),
    sign: async (text) => sign(null, Buffer.from(text), key),
  };
}

/** As ssh judges it: a file of somebody else's is that one's concern. */
function isOpenToOthers(path: string): boolean {
  const { mode, uid } = statSync(path);
  return (mode & 0o077) !== 0 && uid === process.getuid?.();
}

async function fromAgent({ env }: VerbContext): Promise<CheckpointKey> {
  const socket = env.SSH_AUTH_SOCK ?? "";
  if (socket === "") {
    throw new MidctlError("usage", "no agent is running (SSH_AUTH_SOCK is not set); nothing was signed", {
      hint: 'eval "$(ssh-agent)", then ssh-add KEY',
    });
  }
  const keys = (await listAgentKeys(socket)).filter(({ type }) => type === "ssh-ed25519");
  const [key, ...others] = keys;
  if (key === undefined || others.length > 0) {
    throw new MidctlError(
      "usage",
      `the agent holds ${keys.length === 0 ? "no Ed25519 key" : `${keys.length} Ed25519 keys`}; nothing was signed`,
      { hint: key === undefined ? "ssh-add KEY" : "use an agent that holds the one for checkpoints alone" },
    );
  }
  const { x = "" } = key.object.export({ format: "jwk" });
  return { publicKey: Buffer.from(x, "base64url"), sign: (text) => signByAgent(socket, key, text) };
}
