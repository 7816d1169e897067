import { createPrivateKey, type KeyObject } from "node:crypto";
import { fromBase64, WireReader } from "./ssh-wire.ts";

/** A private key that can sign, or why there is none. */
export type PrivateKeyReading =
  | { readonly key: KeyObject }
  | { readonly fault: "encrypted" | "other_type" | "malformed" };

const ARMOUR =
  /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END OPENSSH PRIVATE KEY-----\n*$/;
const MAGIC = "openssh-key-v1\0";
/** DER of an unencrypted PKCS #8 Ed25519 key up to its seed. */
const PKCS8_PREFIX = "302e020100300506032b657004220420";
const SEED_SIZE = 32;

/**
 * An Ed25519 private key as `ssh-keygen` writes it without a passphrase (OpenSSH's PROTOCOL.key), or as PKCS #8 in PEM. What is
 * encrypted is not opened. Never throws.
 */
export function parsePrivateKey(text: string): PrivateKeyReading {
  const plain = text.replaceAll("\r\n", "\n").trimStart();
  if (plain.startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----")) return { fault: "encrypted" };
  const body = ARMOUR.exec(plain)?.[1];
  return body === undefined ? fromPem(plain) : fromOpenSsh(body.replaceAll("\n", ""));
}

function fromPem(text: string): PrivateKeyReading {
  try {
    const key = createPrivateKey(text);
    return key.asymmetricKeyType === "ed25519" ? { key } : { fault: "other_type" };
  } catch {
    // OpenSSL's words would quote what it choked on.
    return { fault: /^Proc-Type: 4,ENCRYPTED$/m.test(text) ? "encrypted" : "malformed" };
  }
}

function fromOpenSsh(base64: string): PrivateKeyReading {
  const reader = new WireReader(fromBase64(base64) ?? Buffer.alloc(0));
  const magic = reader.take(MAGIC.length).toString("latin1");
  const cipher = reader.text();
  reader.text();
  reader.string();
  const keys = reader.number();
  reader.string();
  const secret = new WireReader(reader.string());
  if (magic !== MAGIC || keys !== 1 || !reader.done()) return { fault: "malformed" };
  if (cipher !== "none") return { fault: "encrypted" };
  const checks = [secret.number(), secret.number()];
  if (secret.text() !== "ssh-ed25519") return { fault: "other_type" };
  const publicKey = secret.string();
  const pair = secret.string();
  const isPair = pair.length === SEED_SIZE * 2 && pair.subarray(SEED_SIZE).equals(publicKey);
  if (checks[0] !== checks[1] || !isPair) return { fault: "malformed" };
  const der = Buffer.concat([Buffer.from(PKCS8_PREFIX, "hex"), pair.subarray(0, SEED_SIZE)]);
  return { key: createPrivateKey({ key: der, format: "der", type: "pkcs8" }) };
}
