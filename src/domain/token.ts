import { hash } from "node:crypto";
import { MidctlError } from "./errors.ts";

/**
 * Agent tokens: `mid_<env>_<id12>_<secret43><crc6>` (SPEC §4). Shape, checksum and hashes only: where the random
 * bytes come from, and where the text goes, is the caller's business.
 */

export type EnvironmentKind = "live" | "test";

export interface Token {
  /** The secret itself. Never log it, never put it in an error. */
  readonly text: string;
  readonly environment: EnvironmentKind;
  readonly publicId: string;
  /** Hex `hashToken(text)`: what the database keeps. */
  readonly hash: string;
}

/** A cryptographically secure source: returns exactly `bytes` random bytes. */
export type Entropy = (bytes: number) => Uint8Array;

/** What `credential prepare` prints in place of the secret. */
export interface Commitment {
  readonly environment: EnvironmentKind;
  readonly publicId: string;
  readonly hash: string;
}

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC_ID_LENGTH = 12;
const SECRET_BYTES = 32;
/** 62^43 > 2^256 > 62^42: the shortest width that holds every 256-bit secret. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const LEGACY_MAX_BYTES = 512;
const HASH_DOMAIN = "midctl/token/v1\0";

/** Shape of a whole token, for parsers and secret scanners; the checksum is `parseToken`'s to check. */
export const TOKEN_PATTERN: RegExp = /^mid_(live|test)_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;

/** Length of every token in characters (and bytes: it is ASCII). */
export const TOKEN_LENGTH = "mid_live_".length + PUBLIC_ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

const COMMITMENT_PATTERN = /^mcc_(live|test)_([0-9A-Za-z]{12})_([0-9a-f]{64})$/;
/** A token or commitment anywhere in a text, cut short or in the wrong case too. */
const SECRET_WITHIN = /(?:mid|mcc)_(?:live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{6}/i;

/** Twelve base62 characters, each equally likely. Throws `internal` where `entropy` is broken. */
export function createPublicId(entropy: Entropy): string {
  // 248 is the largest multiple of 62 in a byte: what lies above would favour the first characters.
  const fairBelow = 256 - (256 % BASE62.length);
  let id = "";
  for (let round = 0; round < 64; round++) {
    for (const byte of drawBytes(entropy, 16)) {
      if (byte < fairBelow) id += BASE62[byte % BASE62.length];
      if (id.length === PUBLIC_ID_LENGTH) return id;
    }
  }
  throw new MidctlError("internal", "The random source gave no usable bytes; no token was made.");
}

/** A fresh token with 256 bits of secret. Throws `internal` where `entropy` is broken. */
export function createToken(kind: EnvironmentKind, entropy: Entropy): Token {
  const publicId = createPublicId(entropy);
  const secret = encodeBase62(toInteger(drawBytes(entropy, SECRET_BYTES)), SECRET_LENGTH);
  const body = `mid_${kind}_${publicId}_${secret}`;
  const text = body + checksum(body);
  return { text, environment: kind, publicId, hash: hashToken(text) };
}

/** The token in `text`, or null where shape or checksum is wrong. Never throws. */
export function parseToken(text: string): Token | null {
  const shape = parseShape(text);
  return shape === null ? null : { ...shape, text, hash: hashToken(text) };
}

/** As `parseToken`, for who has the hash already. */
export function parseShape(text: string): Pick<Token, "environment" | "publicId"> | null {
  const match = TOKEN_PATTERN.exec(text);
  if (match === null) return null;
  const [, environment, publicId, , crc] = match as unknown as [
    string,
    EnvironmentKind,
    string,
    string,
    string,
  ];
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === crc ? { environment, publicId } : null;
}

/**
 * Hex `SHA-256("midctl/token/v1\0" ‖ token)`. The prefix makes a host without our library find nothing and refuse,
 * rather than accept a token whose rules it does not know (SPEC §4).
 */
export function hashToken(text: string): string {
  return hash("sha256", HASH_DOMAIN + text, "hex");
}

/** Hex `SHA-256(token)`: how the host application itself looks up tokens that are not ours. */
export function hashLegacyToken(text: string): string {
  return hash("sha256", text, "hex");
}

/** Whether `text` may be a legacy token at all: 1 to 512 bytes of UTF-8, not beginning with `mid_`. */
export function isLegacyShaped(text: string): boolean {
  if (text.length === 0 || text.length > LEGACY_MAX_BYTES || text.startsWith("mid_")) return false;
  return Buffer.byteLength(text) <= LEGACY_MAX_BYTES;
}

/** `mcc_<env>_<id12>_<hash>`: one word that lets another machine issue against a secret it never sees. */
export function formatCommitment(token: Token): string {
  return `mcc_${token.environment}_${token.publicId}_${token.hash}`;
}

/** The commitment in `text`, or null where it has another shape. Never throws. */
export function parseCommitment(text: string): Commitment | null {
  const match = COMMITMENT_PATTERN.exec(text);
  if (match === null) return null;
  const [, environment, publicId, tokenHash] = match as unknown as [string, EnvironmentKind, string, string];
  return { environment, publicId, hash: tokenHash };
}

/** Whether `text` holds a token or a commitment, so that it must be neither echoed nor stored. */
export function containsSecret(text: string): boolean {
  return SECRET_WITHIN.test(text);
}

function drawBytes(entropy: Entropy, count: number): Uint8Array {
  const bytes = entropy(count);
  // A short answer would quietly make a weak secret.
  if (bytes.length !== count) {
    throw new MidctlError("internal", "The random source gave too few bytes; no token was made.");
  }
  return bytes;
}

function toInteger(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function encodeBase62(value: bigint, width: number): string {
  let text = "";
  for (let rest = value; rest > 0n; rest /= 62n) text = BASE62.charAt(Number(rest % 62n)) + text;
  return text.padStart(width, "0");
}

/** Base62 CRC-32 (IEEE 802.3, as zlib's) of an ASCII text, six characters. */
function checksum(text: string): string {
  let crc = -1;
  for (let i = 0; i < text.length; i++) {
    crc = (CRC_TABLE[(crc ^ text.charCodeAt(i)) & 0xff] as number) ^ (crc >>> 8);
  }
  let rest = ~crc >>> 0;
  let digits = "";
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = BASE62.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** Our own, since zlib.crc32 came only with Node 20.15 and loading zlib costs start-up time. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});
