/** Checkpoints of the log: the head of its tree as a signed note (C2SP signed-note and tlog-checkpoint), Ed25519 alone. */
import { createPublicKey, hash, verify } from "node:crypto";
import { HASH_SIZE } from "./merkle.ts";
import { fromBase64 } from "./ssh-wire.ts";

/** The head of a log: how many entries it has, and the root of the tree over them. */
export interface Checkpoint {
  /** Which log it is of. */
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  /** Lines after the third, as others may write them; ours have none. */
  readonly extensions: readonly string[];
}

/** A line under a note. Whose it is, and whether it holds, is not known yet. */
export interface NoteSignature {
  readonly name: string;
  /** The key's id, 8 hex digits. */
  readonly keyId: string;
  readonly signature: Buffer;
}

/** A signed text, taken apart and not verified. */
export interface Note {
  /** What is signed, with its last newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface SignedCheckpoint extends Checkpoint, Note {}

/** A public key under a name, by which it signs notes. */
export interface VerifierKey {
  readonly name: string;
  /** 8 hex digits. */
  readonly id: string;
  /** The Ed25519 point, 32 bytes. */
  readonly publicKey: Buffer;
}

/** `good`: this key signed it. `absent`: no signature of this key, whatever others there are. */
export type SignatureVerdict = "good" | "bad" | "absent";

const ED25519 = 1;
const KEY_SIZE = 32;
const KEY_ID_SIZE = 4;
const SIGNATURE_SIZE = 64;
/** At most; what signed-note asks to be taken at least is 16. */
const MOST_SIGNATURES = 100;
/** In characters, of one note. */
const LONGEST = 1_000_000;
const DASH = "\u2014 ";

/** Spaces of Unicode, and plus, are in no key's name. */
const NAME = /^[^\s\u0085\u200b+\p{Cc}]+$/u;
/** Control characters other than newline, and halves of characters. */
const UNWRITABLE = /[^\P{Cc}\n]|\p{Cs}/u;

/** Origin of the log of a database: its id, which it keeps when it moves and when its environment is named. */
export function originOf(databaseId: string): string {
  return `midctl/${databaseId}`;
}

/** The text of a checkpoint, that is what is signed. */
export function checkpointText({ origin, size, root }: Omit<Checkpoint, "extensions">): string {
  return `${origin}\n${size}\n${root.toString("base64")}\n`;
}

/** A note of this text with these signatures; it ends in a newline. */
export function writeNote({ text, signatures }: Note): string {
  const lines = signatures.map(({ name, keyId, signature }) => {
    const bytes = Buffer.concat([Buffer.from(keyId, "hex"), signature]);
    return `${DASH}${name} ${bytes.toString("base64")}\n`;
  });
  return `${text}\n${lines.join("")}`;
}

/** Takes a note apart; null for what is not exactly one. Verifies nothing. Never throws. */
export function parseNote(note: string): Note | null {
  if (note.length > LONGEST || UNWRITABLE.test(note)) return null;
  // The text may have empty lines: the last one ends it.
  const split = note.lastIndexOf("\n\n");
  if (split < 1 || !note.endsWith("\n") || split === note.length - 2) return null;
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > MOST_SIGNATURES) return null;
  const whole = lines.map(parseSignatureLine).filter((signature) => signature !== null);
  return whole.length === lines.length ? { text: note.slice(0, split + 1), signatures: whole } : null;
}

/** Takes a signed checkpoint apart; null for what is not exactly one. Verifies nothing. Never throws. */
export function parseCheckpoint(note: string): SignedCheckpoint | null {
  const parsed = parseNote(note);
  const checkpoint = parsed === null ? null : parseCheckpointText(parsed.text);
  return parsed === null || checkpoint === null ? null : { ...parsed, ...checkpoint };
}

/** Takes the text of a checkpoint apart, without the signatures that may stand under it; null for any other. Never throws. */
export function parseCheckpointText(text: string): Checkpoint | null {
  if (text.length > LONGEST || UNWRITABLE.test(text) || !text.endsWith("\n")) return null;
  const [origin = "", count = "", base64 = "", ...extensions] = text.slice(0, -1).split("\n");
  const root = fromBase64(base64);
  const size = /^(?:0|[1-9]\d{0,15})$/.test(count) ? Number(count) : Number.NaN;
  if (origin === "" || !Number.isSafeInteger(size) || root?.length !== HASH_SIZE) return null;
  return extensions.includes("") ? null : { origin, size, root, extensions };
}

/** The last checkpoint of a text that may begin in the middle of one; null where it does not end with a whole one. */
export function parseLastCheckpoint(text: string): SignedCheckpoint | null {
  return parseCheckpoint(splitNotes(text).at(-1) ?? "");
}

/** The key of a name, such as `name+c74f20a3+ARpc…` says it; null for what is no Ed25519 key in that form. Never throws. */
export function parseVerifierKey(text: string): VerifierKey | null {
  const [, name = "", id = "", base64 = ""] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? [];
  const bytes = fromBase64(base64);
  if (!NAME.test(name) || bytes?.length !== 1 + KEY_SIZE || bytes[0] !== ED25519) return null;
  const key = verifierKey(name, bytes.subarray(1));
  return key.id === id ? key : null;
}

/** The key of this name. @param publicKey the Ed25519 point, 32 bytes */
export function verifierKey(name: string, publicKey: Buffer): VerifierKey {
  const named = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519), publicKey]);
  return { name, publicKey, id: hash("sha256", named, "buffer").toString("hex", 0, KEY_ID_SIZE) };
}

/** The one-line form that `parseVerifierKey` reads. */
export function writeVerifierKey({ name, id, publicKey }: VerifierKey): string {
  return `${name}+${id}+${Buffer.concat([Buffer.of(ED25519), publicKey]).toString("base64")}`;
}

/** What a key says of a note. Signatures of keys that share a name or an id with it, and not both, are others'. Never throws. */
export function judgeNote(note: Note, key: VerifierKey): SignatureVerdict {
  const own = note.signatures.filter(({ name, keyId }) => name === key.name && keyId === key.id);
  if (own.length === 0) return "absent";
  return own.every(({ signature }) => isGood(note.text, signature, key)) ? "good" : "bad";
}

function isGood(text: string, signature: Buffer, { publicKey }: VerifierKey): boolean {
  if (signature.length !== SIGNATURE_SIZE) return false;
  try {
    const jwk = { kty: "OKP", crv: "Ed25519", x: publicKey.toString("base64url") };
    return verify(null, Buffer.from(text), createPublicKey({ key: jwk, format: "jwk" }), signature);
  } catch {
    // 32 bytes that are no point.
    return false;
  }
}

function parseSignatureLine(line: string): NoteSignature | null {
  if (!line.startsWith(DASH)) return null;
  const [name = "", base64 = "", ...rest] = line.slice(DASH.length).split(" ");
  const bytes = fromBase64(base64);
  if (!NAME.test(name) || rest.length > 0 || bytes === null || bytes.length <= KEY_ID_SIZE) return null;
  return {
    name,
    keyId: bytes.toString("hex", 0, KEY_ID_SIZE),
    signature: bytes.subarray(KEY_ID_SIZE),
  };
}

/** A text of checkpoints has an empty line only above signatures, so a note ends where they do. The last may not be whole. */
export function splitNotes(text: string): string[] {
  const notes: string[] = [];
  let [start, at] = [0, 0];
  let signed = false;
  while (at < text.length) {
    const next = text.indexOf("\n", at) + 1 || text.length;
    const isSignature = text.startsWith(DASH, at);
    if (signed && !isSignature) {
      notes.push(text.slice(start, at));
      start = at;
    }
    signed = isSignature;
    at = next;
  }
  if (start < text.length) notes.push(text.slice(start));
  return notes;
}
