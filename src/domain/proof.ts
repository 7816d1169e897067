/**
 * What the log's tree proves, as a document that is checked without the database: that an entry is in it (RFC 9162 §2.1.3), or
 * that it goes on from an earlier head (§2.1.4). The head is vouched for by whoever signed it, or keeps it elsewhere.
 */
import {
  type Checkpoint,
  judgeNote,
  parseCheckpoint,
  parseNote,
  type SignedCheckpoint,
  type VerifierKey,
} from "./checkpoint.ts";
import { MidctlError } from "./errors.ts";
import { findDuplicateKey, findJsonError } from "./json-error.ts";
import { HASH_SIZE, hashLeaf, isConsistent, isIncluded } from "./merkle.ts";
import { suggest } from "./slug.ts";
import { fromBase64 } from "./ssh-wire.ts";
import { quote, visibleJson } from "./visible.ts";

export const PROOF_VERSION = "midctl-log-proof@v1";
/** In bytes, of a proof's file. */
export const LONGEST_PROOF = 4 * 1024 * 1024;

/** How many entries, the root over them, and the signed note that says so; null where nobody signed it. */
export interface ProofHead {
  readonly size: number;
  readonly root: Buffer;
  readonly checkpoint: string | null;
}

/** That the tree of the head has this entry at this index. */
export interface InclusionProof {
  readonly kind: "inclusion";
  readonly origin: string;
  readonly head: ProofHead;
  readonly index: number;
  /** Its exact text. */
  readonly entry: string;
  readonly path: readonly Buffer[];
}

/** That the tree of the head begins with all of the tree of an earlier one. */
export interface ConsistencyProof {
  readonly kind: "consistency";
  readonly origin: string;
  readonly from: ProofHead;
  readonly head: ProofHead;
  readonly path: readonly Buffer[];
}

export type LogProof = InclusionProof | ConsistencyProof;

/** A head as JSON has it: its root in base64. */
export interface HeadDocument {
  readonly size: number;
  readonly root: string;
  readonly checkpoint: string | null;
}

/** A proof as JSON has it. The head is in its own fields; null is what the other kind has. */
export interface ProofDocument extends HeadDocument {
  readonly version: typeof PROOF_VERSION;
  readonly kind: "inclusion" | "consistency";
  readonly origin: string;
  readonly index: number | null;
  readonly entry: string | null;
  readonly from: HeadDocument | null;
  readonly path: readonly string[];
}

/** What a proof is held against, beside its own arithmetic. */
export interface Vouchers {
  /** Who has to have signed the head. */
  readonly key: VerifierKey | null;
  /** Checkpoints that were kept elsewhere, those of other logs and sizes among them; null where none were given. */
  readonly kept: readonly SignedCheckpoint[] | null;
}

export interface Verdict {
  /** By whom the head is vouched for: a key's signature, a checkpoint kept elsewhere, or by nobody. */
  readonly checked: "signature" | "checkpoint" | "arithmetic";
  /** Sizes of the heads that are vouched for by all that was given. */
  readonly vouched: readonly number[];
}

export function proofDocument(proof: LogProof): ProofDocument {
  const { kind, origin, head, path } = proof;
  return {
    version: PROOF_VERSION,
    kind,
    origin,
    ...headDocument(head),
    index: kind === "inclusion" ? proof.index : null,
    entry: kind === "inclusion" ? proof.entry : null,
    from: kind === "consistency" ? headDocument(proof.from) : null,
    path: path.map((hash) => hash.toString("base64")),
  };
}

function headDocument({ size, root, checkpoint }: ProofHead): HeadDocument {
  return { size, root: root.toString("base64"), checkpoint };
}

/** A proof's file: one line of JSON, in which nothing is hidden. */
export function writeProof(document: ProofDocument): string {
  return `${visibleJson(JSON.stringify(document))}\n`;
}

const FIELDS = [
  ...["version", "kind", "origin", "size", "root", "checkpoint", "index", "entry", "from", "path"],
  // In front of all that --json prints.
  "schemaVersion",
];
const HEAD_FIELDS = ["size", "root", "checkpoint"];
/** A tree of 2^53 leaves has paths of 53 hashes; a consistency proof one more. */
const LONGEST_PATH = 54;
const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Takes a proof apart, and judges nothing.
 * @throws MidctlError `usage` that names the place or the field which makes it no proof
 */
export function parseProof(text: string): LogProof {
  const json = fieldsOf(parseJson(text), FIELDS, "");
  if (json.version !== PROOF_VERSION) throw notProof("version", `is not ${PROOF_VERSION}`);
  if (json.schemaVersion !== null && json.schemaVersion !== 1) throw notProof("schemaVersion", "is not 1");
  const origin = textOf(json, "origin", "");
  const head = headOf(json, "");
  const { path } = json;
  if (!Array.isArray(path) || path.length > LONGEST_PATH) {
    throw notProof("path", `is no list of at most ${LONGEST_PATH} hashes`);
  }
  const shared = { origin, head, path: path.map((hash, at) => hashOf(hash, `path[${at}]`)) };
  if (json.kind === "inclusion") {
    refuseFields(json, ["from"]);
    const index = countOf(json, "index", "");
    return { kind: "inclusion", ...shared, index, entry: textOf(json, "entry", "") };
  }
  if (json.kind === "consistency") {
    refuseFields(json, ["index", "entry"]);
    const from = headOf(fieldsOf(json.from, HEAD_FIELDS, "from"), "from.");
    return { kind: "consistency", ...shared, from };
  }
  throw notProof("kind", "is neither inclusion nor consistency");
}

/**
 * Whether a proof holds, and by what. Without vouchers it is arithmetic alone, of a head that anybody may have made.
 * @throws MidctlError `conflict` that names what fails; `details.fails` is one of entry, path, checkpoint, signature, kept
 */
export function judgeProof(proof: LogProof, { key, kept }: Vouchers): Verdict {
  if (proof.kind === "inclusion") judgeInclusion(proof);
  else judgeConsistency(proof);
  const heads = proof.kind === "inclusion" ? [proof.head] : [proof.from, proof.head];
  for (const head of heads) judgeCheckpoint(proof.origin, head);
  if (key === null && kept === null) return { checked: "arithmetic", vouched: [] };

  const found = heads.map((head) => ({ head, kept: findKept(proof.origin, head, kept ?? []) }));
  const signed = found.filter(({ head, kept }) => key === null || isSigned(head, kept, key));
  if (signed.length === 0) {
    throw broken("signature", "It has no checkpoint that a key could have signed", {
      hint: "Have it made with --key or --checkpoint, or give --checkpoint with the file that has its head.",
    });
  }
  const vouched = signed.filter((each) => kept === null || each.kept.length > 0);
  if (vouched.length === 0) {
    throw broken("kept", `Its head of size ${proof.head.size} is not among the checkpoints that were kept`, {
      hint: `Have it made against one of those: midctl audit prove ${proof.kind === "inclusion" ? "--checkpoint" : "--to"} FILE.`,
    });
  }
  return {
    checked: key === null ? "checkpoint" : "signature",
    vouched: vouched.map(({ head }) => head.size),
  };
}

/** The index that an entry itself says it has; null for a text that is no entry. Never throws. */
export function indexOf(entry: string): number | null {
  if (findJsonError(entry) !== null || findDuplicateKey(entry) !== null) return null;
  const json: unknown = JSON.parse(entry);
  const index = typeof json === "object" && json !== null && "index" in json ? json.index : null;
  return isCount(index) ? index : null;
}

function judgeInclusion({ index, entry, head: { size, root }, path }: InclusionProof): void {
  const own = indexOf(entry);
  if (own !== index) {
    throw broken(
      "entry",
      own === null
        ? `Its entry says of no index that it is its own, and ${index} is to be proven`
        : `Its entry says that it is number ${own}, and not ${index}`,
    );
  }
  if (!isIncluded({ index, size, leaf: hashLeaf(entry), root, path })) {
    throw broken("path", `Its path does not lead from entry ${index} to the root of ${counted(size)}`);
  }
}

function judgeConsistency({ from, head, path }: ConsistencyProof): void {
  const grown = { first: from.size, firstRoot: from.root, second: head.size, secondRoot: head.root, path };
  if (isConsistent(grown)) return;
  throw broken(
    "path",
    `Its path does not lead from the root of ${counted(from.size)} to that of ${head.size}`,
  );
}

function judgeCheckpoint(origin: string, { size, root, checkpoint }: ProofHead): void {
  if (checkpoint === null) return;
  const signed = parseCheckpoint(checkpoint);
  if (signed !== null && isHead(signed, origin, size) && signed.root.equals(root)) return;
  const what =
    signed?.origin !== origin
      ? "is of another log"
      : signed.size !== size
        ? `saw ${counted(signed.size)}`
        : "has another root";
  throw broken("checkpoint", `The checkpoint in it for ${counted(size)} ${what}`);
}

/** Those of this head. One of its size with another root says that there were two logs. */
function findKept(
  origin: string,
  { size, root }: ProofHead,
  kept: readonly SignedCheckpoint[],
): readonly SignedCheckpoint[] {
  const same = kept.filter((checkpoint) => isHead(checkpoint, origin, size));
  if (same.every((checkpoint) => checkpoint.root.equals(root))) return same;
  throw broken("kept", `A checkpoint that was kept has another root over ${counted(size)}`, {
    hint: "Keep both: the log was rewritten between them, or one of them is forged.",
  });
}

/** False where there is no note to sign. */
function isSigned(
  { size, checkpoint }: ProofHead,
  kept: readonly SignedCheckpoint[],
  key: VerifierKey,
): boolean {
  const own = checkpoint === null ? null : parseNote(checkpoint);
  const notes = own === null ? kept : [own, ...kept];
  const verdicts = notes.map((note) => judgeNote(note, key));
  if (verdicts.includes("bad")) {
    throw broken("signature", `The key's signature under the checkpoint for ${counted(size)} does not hold`);
  }
  if (verdicts.length > 0 && !verdicts.includes("good")) {
    throw broken("signature", `The checkpoint for ${counted(size)} is not signed by this key`, {
      hint: "Give the line that `midctl audit checkpoint --key` printed for the key that signed it.",
    });
  }
  return verdicts.length > 0;
}

function isHead(checkpoint: Checkpoint, origin: string, size: number): boolean {
  return checkpoint.origin === origin && checkpoint.size === size;
}

type Fields = Readonly<Record<string, unknown>>;

function parseJson(text: string): unknown {
  const at = findJsonError(text);
  if (at !== null) {
    const before = text.slice(0, at).split("\n");
    const place = `line ${before.length}, column ${[...(before.at(-1) ?? "")].length + 1}`;
    throw notProof(
      "",
      at >= text.length ? `its JSON ends too soon, at ${place}` : `it is not JSON, at ${place}`,
    );
  }
  const twice = findDuplicateKey(text);
  if (twice !== null) throw notProof("", `its field ${quote(twice)} is there twice`);
  return JSON.parse(text);
}

/** All of these fields of an object, null where they are missing, and no other. */
function fieldsOf(json: unknown, names: readonly string[], where: string): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw where === "" ? notProof("", "it is no JSON object") : notProof(where, "is no JSON object");
  }
  for (const name of Object.keys(json)) {
    if (names.includes(name)) continue;
    const near = suggest(name, names);
    const meant = near === null ? "" : ` (${near}?)`;
    throw notProof("", `there is no field ${quote(name)}${where && ` in ${where}`}${meant}`);
  }
  const own = json as Fields;
  return Object.fromEntries(names.map((name) => [name, own[name] ?? null]));
}

function headOf(json: Fields, within: string): ProofHead {
  const checkpoint = json.checkpoint === null ? null : textOf(json, "checkpoint", within);
  if (checkpoint !== null && parseCheckpoint(checkpoint) === null) {
    throw notProof(`${within}checkpoint`, "is no signed checkpoint");
  }
  return { size: countOf(json, "size", within), root: hashOf(json.root, `${within}root`), checkpoint };
}

function textOf(json: Fields, name: string, within: string): string {
  const text = json[name];
  if (typeof text !== "string") throw notProof(within + name, "is no text");
  // Halves of characters have no bytes of their own.
  if (LONE_SURROGATE.test(text)) throw notProof(within + name, "is not valid Unicode");
  return text;
}

function countOf(json: Fields, name: string, within: string): number {
  const count = json[name];
  if (isCount(count)) return count;
  throw notProof(within + name, "is no whole number from 0 to 9007199254740991");
}

function hashOf(value: unknown, name: string): Buffer {
  const bytes = typeof value === "string" ? fromBase64(value) : null;
  if (bytes?.length === HASH_SIZE) return bytes;
  throw notProof(name, `is no hash of ${HASH_SIZE} bytes in base64`);
}

function refuseFields(json: Fields, names: readonly string[]): void {
  for (const name of names) {
    if (json[name] !== null) throw notProof(name, `is not of a proof of ${json.kind}`);
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function notProof(field: string, what: string): MidctlError {
  const why = field === "" ? what : `its ${field} ${what}`;
  return new MidctlError("usage", `This is no proof of the log: ${why}; nothing was checked.`, {
    hint: "Give the file that `midctl audit prove` wrote, as it wrote it.",
    ...(field === "" ? {} : { details: { field } }),
  });
}

function broken(fails: string, what: string, { hint }: { readonly hint?: string } = {}): MidctlError {
  return new MidctlError("conflict", `The proof does not hold. ${what}; nothing is proven.`, {
    hint: hint ?? "Ask whoever gave it for a new one, and keep this one if that fails too.",
    details: { fails },
  });
}

const counted = (size: number): string => (size === 1 ? "1 entry" : `${size} entries`);
