import { hash, verify } from "node:crypto";
import { type PublicKey, parsePublicKey } from "./ssh-key.ts";
import { fromBase64, WireReader, wireString } from "./ssh-wire.ts";

/**
 * Signatures by `ssh-keygen -Y sign` (OpenSSH's PROTOCOL.sshsig). What ssh-keygen refuses is refused here too, and some of
 * what it takes: text around the armour, a `reserved` field that is not empty (it is not signed, so anybody could write
 * into it), numbers that are not in their shortest form, version 0, RSA below 2048 bits, and hardware keys that nobody
 * touched. What cannot be told apart is the twin (r, n - s) of an ECDSA signature: count signers, never signatures.
 */
export type SignatureFault = "malformed" | "wrong_namespace" | "bad_signature";

/** A signature that has been taken apart, and not verified. */
export interface Signature {
  /** The wire form of the key that it names, base64. */
  readonly keyBlob: string;
  readonly namespace: string;
  readonly hashAlgorithm: "sha256" | "sha512";
  /** The algorithm's own part. */
  readonly inner: Buffer;
}

/** In characters, of the armoured text. */
const MAX_LENGTH = 65_536;
const MAGIC = "SSHSIG";
const USER_PRESENT = 1;

const ARMOUR =
  /^-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,100}\n)+)-----END SSH SIGNATURE-----\n?$/;

/**
 * Whose signature over `message` in `namespace` this is. The key comes from `known`, by its `blob`, where it is there:
 * then it costs one verification and little more. Whether the key may sign is the caller's to judge. Never throws.
 */
export function verifySignature(
  armored: string,
  message: Uint8Array,
  namespace: string,
  known?: ReadonlyMap<string, PublicKey>,
): { readonly key: PublicKey } | { readonly fault: SignatureFault } {
  const signature = parseSignature(armored);
  if (signature === null) return { fault: "malformed" };
  const key = known?.get(signature.keyBlob) ?? parsePublicKey(Buffer.from(signature.keyBlob, "base64"));
  if (key === null) return { fault: "malformed" };
  const fault = checkSignature(signature, key, message, namespace);
  return fault === null ? { key } : { fault };
}

/** Takes an armoured signature apart; null where it is malformed. Verifies nothing. Never throws. */
export function parseSignature(armored: string): Signature | null {
  if (armored.length > MAX_LENGTH) return null;
  const body = ARMOUR.exec(armored.replaceAll("\r\n", "\n"))?.[1];
  const bytes = body === undefined ? null : fromBase64(body.replaceAll("\n", ""));
  if (bytes === null) return null;
  const reader = new WireReader(bytes);
  const magic = reader.take(MAGIC.length).toString("latin1");
  const version = reader.number();
  const keyBlob = reader.string().toString("base64");
  const namespace = reader.text();
  const reserved = reader.string();
  const hashAlgorithm = reader.text();
  const inner = reader.string();
  if (!reader.done() || magic !== MAGIC || version !== 1 || reserved.length > 0) return null;
  if (hashAlgorithm !== "sha256" && hashAlgorithm !== "sha512") return null;
  return { keyBlob, namespace, hashAlgorithm, inner };
}

/** What is wrong with a signature by this key over `message` in `namespace`, or null. Never throws. */
export function checkSignature(
  signature: Signature,
  key: PublicKey,
  message: Uint8Array,
  namespace: string,
): SignatureFault | null {
  if (signature.namespace !== namespace || namespace === "") return "wrong_namespace";
  if (signature.keyBlob !== key.blob) return "bad_signature";
  const signed = Buffer.concat([
    Buffer.from(MAGIC),
    wireString(namespace),
    wireString(""),
    wireString(signature.hashAlgorithm),
    wireString(hash(signature.hashAlgorithm, message, "buffer")),
  ]);
  try {
    return checkInner(signature.inner, key, signed);
  } catch {
    // OpenSSL says so of some signatures that cannot be: an r of zero.
    return "bad_signature";
  }
}

function checkInner(inner: Buffer, key: PublicKey, signed: Buffer): SignatureFault | null {
  const reader = new WireReader(inner);
  const algorithm = reader.text();
  const value = reader.string();
  let data = signed;
  if (key.application !== null) {
    const flags = reader.take(1);
    const counter = reader.take(4);
    if (((flags[0] ?? 0) & USER_PRESENT) === 0 && reader.done()) return "bad_signature";
    data = Buffer.concat([key.application, flags, counter, hash("sha256", signed, "buffer")]);
  }
  if (!reader.done()) return "malformed";
  switch (key.type) {
    case "ssh-ed25519":
    case "sk-ssh-ed25519@openssh.com":
      if (algorithm !== key.type || value.length !== 64) return "malformed";
      return verdict(verify(null, data, key.object, value));
    case "ssh-rsa":
      if (algorithm !== "rsa-sha2-256" && algorithm !== "rsa-sha2-512") return "malformed";
      if (value.length !== key.size) return "malformed";
      return verdict(verify(algorithm === "rsa-sha2-256" ? "sha256" : "sha512", data, key.object, value));
    default: {
      const numbers = algorithm === key.type ? readEcdsa(value, key.size) : null;
      if (numbers === null) return "malformed";
      const object = { key: key.object, dsaEncoding: "ieee-p1363" } as const;
      return verdict(verify(ECDSA_HASH[key.type], data, object, numbers));
    }
  }
}

const ECDSA_HASH = {
  "ecdsa-sha2-nistp256": "sha256",
  "ecdsa-sha2-nistp384": "sha384",
  "ecdsa-sha2-nistp521": "sha512",
  "sk-ecdsa-sha2-nistp256@openssh.com": "sha256",
} as const;

/** r and s side by side, each as wide as a coordinate; null where they are not two numbers of at most that width. */
function readEcdsa(value: Buffer, size: number): Buffer | null {
  const reader = new WireReader(value);
  const numbers = [reader.positive(), reader.positive()];
  if (!reader.done() || numbers.some(({ length }) => length > size)) return null;
  return Buffer.concat(numbers.flatMap((number) => [Buffer.alloc(size - number.length), number]));
}

function verdict(good: boolean): SignatureFault | null {
  return good ? null : "bad_signature";
}
