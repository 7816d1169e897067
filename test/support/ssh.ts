import { execFileSync, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyType } from "../../src/domain/ssh-key.ts";

/** Whether there is an `ssh-keygen` to compare with. */
export const hasSshKeygen = spawnSync("ssh-keygen", ["-?"]).error === undefined;

/** A key of a person, with which tests sign as ssh-keygen and hardware do. */
export interface TestKey {
  readonly type: KeyType;
  readonly blob: Buffer;
  /** `type base64`, as in a .pub file. */
  readonly line: string;
  sign(message: Uint8Array | string, options?: SigningOptions): string;
}

export interface SigningOptions {
  readonly namespace?: string;
  readonly hashAlgorithm?: string;
  readonly version?: number;
  readonly reserved?: string;
  /** Of a hardware key: 1 is that somebody touched it. */
  readonly flags?: number;
  /** In place of the key's own: for RSA. */
  readonly algorithm?: string;
  /** Between the inner signature as made and as written. */
  readonly alterInner?: (inner: Buffer) => Buffer;
  readonly alterKey?: (blob: Buffer) => Buffer;
  /** Behind all the rest. */
  readonly trailing?: string;
}

export const NAMESPACE = "midctl-approval@v1";
const APPLICATION = "ssh:";

/** A `string` of the SSH wire format. */
export function wire(content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** An `mpint` of the SSH wire format. */
export function mpint(unsigned: Uint8Array): Buffer {
  let bytes = Buffer.from(unsigned);
  while (bytes.length > 1 && bytes[0] === 0) bytes = bytes.subarray(1);
  return wire((bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

/** Armour as ssh-keygen writes it. */
export function armor(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,70}/g) ?? [];
  return `-----BEGIN SSH SIGNATURE-----\n${lines.join("\n")}\n-----END SSH SIGNATURE-----\n`;
}

/** The bytes within an armour. */
export function dearmor(armored: string): Buffer {
  return Buffer.from(armored.replace(/-----[^-]+-----/g, ""), "base64");
}

const CURVES = {
  "ecdsa-sha2-nistp256": ["P-256", "nistp256", "sha256"],
  "ecdsa-sha2-nistp384": ["P-384", "nistp384", "sha384"],
  "ecdsa-sha2-nistp521": ["P-521", "nistp521", "sha512"],
  "sk-ecdsa-sha2-nistp256@openssh.com": ["P-256", "nistp256", "sha256"],
} as const;

/** A fresh key. `sk-…` keys are made in software: what a token computes is the same. */
export function makeKey(type: KeyType, { rsaBits = 2048 } = {}): TestKey {
  const privateKey =
    type === "ssh-rsa"
      ? generateKeyPairSync("rsa", { modulusLength: rsaBits }).privateKey
      : type in CURVES
        ? generateKeyPairSync("ec", { namedCurve: CURVES[type as keyof typeof CURVES][0] }).privateKey
        : generateKeyPairSync("ed25519").privateKey;
  return keyOf(type, privateKey);
}

function keyOf(type: KeyType, privateKey: KeyObject): TestKey {
  const blob = blobOf(type, privateKey);
  return {
    type,
    blob,
    line: `${type} ${blob.toString("base64")}`,
    sign(message, options = {}) {
      const { namespace = NAMESPACE, hashAlgorithm = "sha512", version = 1, reserved = "" } = options;
      const digest = createHash(hashAlgorithm).update(message).digest();
      const signed = Buffer.concat([
        Buffer.from("SSHSIG"),
        wire(namespace),
        wire(""),
        wire(hashAlgorithm),
        wire(digest),
      ]);
      const inner = innerSignature(type, privateKey, signed, options);
      const versionBytes = Buffer.alloc(4);
      versionBytes.writeUInt32BE(version);
      return armor(
        Buffer.concat([
          Buffer.from("SSHSIG"),
          versionBytes,
          wire(options.alterKey?.(blob) ?? blob),
          wire(namespace),
          wire(reserved),
          wire(hashAlgorithm),
          wire(options.alterInner?.(inner) ?? inner),
          Buffer.from(options.trailing ?? ""),
        ]),
      );
    },
  };
}

function blobOf(type: KeyType, privateKey: KeyObject): Buffer {
  const jwk = privateKey.export({ format: "jwk" });
  const [x, y, n, e] = [jwk.x, jwk.y, jwk.n, jwk.e].map((part) => Buffer.from(part ?? "", "base64url"));
  const application = type.startsWith("sk-") ? [wire(APPLICATION)] : [];
  if (type === "ssh-rsa") return Buffer.concat([wire(type), mpint(e as Buffer), mpint(n as Buffer)]);
  if (!(type in CURVES)) return Buffer.concat([wire(type), wire(x as Buffer), ...application]);
  const point = Buffer.concat([Buffer.from([4]), x as Buffer, y as Buffer]);
  return Buffer.concat([
    wire(type),
    wire(CURVES[type as keyof typeof CURVES][1]),
    wire(point),
    ...application,
  ]);
}

function innerSignature(
  type: KeyType,
  key: KeyObject,
  signed: Buffer,
  { flags = 1, algorithm }: SigningOptions,
): Buffer {
  const tail = type.startsWith("sk-") ? Buffer.from([flags, 0, 0, 0, 7]) : Buffer.alloc(0);
  const data = type.startsWith("sk-") ? Buffer.concat([sha256(APPLICATION), tail, sha256(signed)]) : signed;
  if (type === "ssh-rsa") {
    const name = algorithm ?? "rsa-sha2-512";
    const digest = name === "rsa-sha2-256" ? "sha256" : name === "ssh-rsa" ? "sha1" : "sha512";
    return Buffer.concat([wire(name), wire(sign(digest, data, key))]);
  }
  if (!(type in CURVES)) return Buffer.concat([wire(type), wire(sign(null, data, key)), tail]);
  const pair = sign(CURVES[type as keyof typeof CURVES][2], data, { key, dsaEncoding: "ieee-p1363" });
  const numbers = [pair.subarray(0, pair.length / 2), pair.subarray(pair.length / 2)].map(mpint);
  return Buffer.concat([wire(type), wire(Buffer.concat(numbers)), tail]);
}

function sha256(content: Uint8Array | string): Buffer {
  return createHash("sha256").update(content).digest();
}

export interface Question {
  readonly allowedSigners: string;
  readonly principal: string;
  readonly signature: string;
  readonly message: Uint8Array | string;
  readonly namespace?: string;
  readonly revokedKeys?: string;
  /** ms since 1970, whole seconds. */
  readonly at?: number;
}

/** What the real `ssh-keygen -Y verify` says. */
export function sshKeygenAccepts(question: Question): boolean {
  return inScratch((dir) => {
    const place = (name: string, content: string) => {
      writeFileSync(join(dir, name), content);
      return join(dir, name);
    };
    const time = new Date(question.at ?? Date.parse("2026-06-01T00:00:00Z"));
    const { status } = spawnSync(
      "ssh-keygen",
      [
        ...["-Y", "verify", "-n", question.namespace ?? NAMESPACE, "-I", question.principal],
        ...["-f", place("allowed_signers", question.allowedSigners), "-s", place("sig", question.signature)],
        ...(question.revokedKeys === undefined ? [] : ["-r", place("revoked_keys", question.revokedKeys)]),
        `-Overify-time=${time.toISOString().replace(/[-:T]|\.\d+/g, "")}`,
      ],
      { input: question.message },
    );
    return status === 0;
  });
}

/** A key that the real ssh-keygen makes, its fingerprint as that prints it, and signatures by `ssh-keygen -Y sign`. */
export function sshKeygenSigns(
  options: readonly string[],
  message: string,
  hashAlgorithm = "sha512",
): { line: string; fingerprint: string; signature: string } {
  return inScratch((dir) => {
    const [key, file] = [join(dir, "key"), join(dir, "message")];
    writeFileSync(file, message);
    execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "a comment", "-f", key, ...options]);
    const listed = execFileSync("ssh-keygen", ["-l", "-f", `${key}.pub`], { encoding: "utf8" });
    execFileSync(
      "ssh-keygen",
      ["-Y", "sign", "-q", "-n", NAMESPACE, `-Ohashalg=${hashAlgorithm}`, "-f", key, file],
      {
        stdio: "ignore",
      },
    );
    return {
      line: readFileSync(`${key}.pub`, "utf8").trim(),
      fingerprint: listed.split(" ")[1] ?? "",
      signature: readFileSync(`${file}.sig`, "utf8"),
    };
  });
}

function inScratch<T>(work: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "midctl-ssh-"));
  try {
    return work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
