import { createPublicKey, hash, type KeyObject } from "node:crypto";
import { fromBase64, WireReader } from "./ssh-wire.ts";

/** Key types whose signatures are verified. Certificates, DSA and SHA-1 are not among them. */
export const KEY_TYPES = [
  "ssh-ed25519",
  "sk-ssh-ed25519@openssh.com",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ecdsa-sha2-nistp256@openssh.com",
  "ssh-rsa",
] as const;

export type KeyType = (typeof KEY_TYPES)[number];

/** A public key, ready to verify: made once for each key of the trust root. */
export interface PublicKey {
  readonly type: KeyType;
  /** The wire form, base64: two keys are the same where these are. */
  readonly blob: string;
  /** As `ssh-keygen -l` prints it: `SHA256:` and unpadded base64. */
  readonly fingerprint: string;
  readonly object: KeyObject;
  /** SHA-256 of the application of a hardware key (`sk-…`), which signs it along; null for any other. */
  readonly application: Buffer | null;
  /** Bytes of an RSA modulus or of a coordinate on the curve; 32 for Ed25519. */
  readonly size: number;
}

const MIN_RSA_BITS = 2048;
/** What OpenSSH takes at most. */
const MAX_RSA_BITS = 16_384;

interface Curve {
  readonly name: string;
  readonly size: number;
  /** DER of a SubjectPublicKeyInfo up to the point. */
  readonly prefix: string;
}

const P256: Curve = {
  name: "nistp256",
  size: 32,
  prefix: "3059301306072a8648ce3d020106082a8648ce3d030107034200",
};
const P384: Curve = { name: "nistp384", size: 48, prefix: "3076301006072a8648ce3d020106052b81040022036200" };
const P521: Curve = {
  name: "nistp521",
  size: 66,
  prefix: "30819b301006072a8648ce3d020106052b8104002303818600",
};
const ED25519_PREFIX = "302a300506032b6570032100";

/** Whether signatures by this type of key can be verified here. */
export function isKeyType(text: string): text is KeyType {
  return (KEY_TYPES as readonly string[]).includes(text);
}

/** The key of a line such as `ssh-ed25519 AAAAC3…`, by its two words; null where they are no key that is taken. */
export function readPublicKey(type: string, base64: string): PublicKey | null {
  const blob = fromBase64(base64);
  const key = blob === null ? null : parsePublicKey(blob);
  return key?.type === type ? key : null;
}

/**
 * The key of a wire form. null for what is malformed or has bytes left over, a point that is not on its curve, RSA of less
 * than 2048 bits, and every type that is not in `KEY_TYPES`. Never throws.
 */
export function parsePublicKey(blob: Uint8Array): PublicKey | null {
  const reader = new WireReader(blob);
  const type = reader.text();
  if (!isKeyType(type)) return null;
  try {
    const material = readMaterial(type, reader);
    if (material === null || !reader.done()) return null;
    const bytes = Buffer.from(blob);
    const digest = hash("sha256", bytes, "base64");
    return {
      ...material,
      type,
      blob: bytes.toString("base64"),
      fingerprint: `SHA256:${digest.replace(/=+$/, "")}`,
    };
  } catch {
    // OpenSSL refuses what is no key: a point beside its curve.
    return null;
  }
}

type Material = Pick<PublicKey, "object" | "application" | "size">;

function readMaterial(type: KeyType, reader: WireReader): Material | null {
  switch (type) {
    case "ssh-ed25519":
      return readEd25519(reader, false);
    case "sk-ssh-ed25519@openssh.com":
      return readEd25519(reader, true);
    case "ecdsa-sha2-nistp256":
      return readEcdsa(reader, P256, false);
    case "ecdsa-sha2-nistp384":
      return readEcdsa(reader, P384, false);
    case "ecdsa-sha2-nistp521":
      return readEcdsa(reader, P521, false);
    case "sk-ecdsa-sha2-nistp256@openssh.com":
      return readEcdsa(reader, P256, true);
    case "ssh-rsa":
      return readRsa(reader);
  }
}

function readEd25519(reader: WireReader, hardware: boolean): Material | null {
  const point = reader.string();
  const application = hardware ? readApplication(reader) : null;
  if (point.length !== 32 || !reader.done()) return null;
  return { object: fromSpki(ED25519_PREFIX, point), application, size: 32 };
}

function readEcdsa(reader: WireReader, curve: Curve, hardware: boolean): Material | null {
  const named = reader.text();
  const point = reader.string();
  const application = hardware ? readApplication(reader) : null;
  // OpenSSH writes and takes points in full only.
  const full = point.length === 1 + 2 * curve.size && point[0] === 4;
  if (named !== curve.name || !full || !reader.done()) return null;
  return { object: fromSpki(curve.prefix, point), application, size: curve.size };
}

function readRsa(reader: WireReader): Material | null {
  const exponent = reader.positive();
  const modulus = reader.positive();
  if (!reader.done()) return null;
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  // An exponent of one would let anybody sign.
  const odd = (exponent.at(-1) ?? 0) % 2 === 1;
  const isOne = exponent.length === 1 && exponent[0] === 1;
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS || exponent.length > 8 || !odd || isOne) return null;
  const object = createPublicKey({
    key: { kty: "RSA", n: modulus.toString("base64url"), e: exponent.toString("base64url") },
    format: "jwk",
  });
  return { object, application: null, size: modulus.length };
}

function readApplication(reader: WireReader): Buffer {
  return hash("sha256", reader.text(), "buffer");
}

function fromSpki(prefix: string, point: Uint8Array): KeyObject {
  const der = Buffer.concat([Buffer.from(prefix, "hex"), point]);
  return createPublicKey({ key: der, format: "der", type: "spki" });
}
