import { describe, expect, test } from "vitest";
import { KEY_TYPES } from "../../src/domain/ssh-key.ts";
import { type IdentityFault, identifySigner, readTrust } from "../../src/domain/trust.ts";
import {
  armor,
  dearmor,
  hasSshKeygen,
  makeKey,
  NAMESPACE,
  type Question,
  sshKeygenAccepts,
  sshKeygenSigns,
} from "../support/ssh.ts";

/** Our verdicts beside those of the real `ssh-keygen -Y verify`, where there is one. */

const message = "the bytes that people approve";
const NOON = Date.parse("2026-06-01T12:00:00Z");
const [alice, bob] = [makeKey("ssh-ed25519"), makeKey("ssh-ed25519")];

/** Whom we recognise, or the fault. */
function ours({
  allowedSigners,
  signature,
  message,
  namespace = NAMESPACE,
  revokedKeys,
  at = NOON,
}: Question): string {
  const texts = { allowedSigners, policy: '{"requesterSigns":false}', revokedKeys: revokedKeys ?? null };
  // A second signer, so that a revoked first leaves a quorum of one.
  const trust = readTrust({ ...texts, allowedSigners: `${allowedSigners}\nspare ${bob.line}` });
  const found = identifySigner(trust, { armored: signature, message: Buffer.from(message), namespace, at });
  return "fault" in found ? found.fault : found.principal;
}

describe.runIf(hasSshKeygen)("as ssh-keygen has it", () => {
  test.each(KEY_TYPES)("a signature by %s is good", (type) => {
    const key = makeKey(type);
    const question = {
      allowedSigners: `alice ${key.line}`,
      principal: "alice",
      signature: key.sign(message),
      message,
    };

    expect(ours(question)).toBe("alice");
    expect(sshKeygenAccepts(question)).toBe(true);
  });

  test.each([
    [["-t", "ed25519"]],
    [["-t", "ecdsa", "-b", "256"]],
    [["-t", "ecdsa", "-b", "384"]],
    [["-t", "ecdsa", "-b", "521"]],
    [["-t", "rsa", "-b", "2048"]],
  ])("what it signs with %j is good, and the fingerprint is the one it prints", (options) => {
    for (const hashAlgorithm of ["sha256", "sha512"]) {
      const { line, fingerprint, signature } = sshKeygenSigns(options, message, hashAlgorithm);
      const trust = readTrust({
        allowedSigners: `alice ${line}`,
        policy: '{"requesterSigns":false}',
        revokedKeys: null,
      });

      const signed = { armored: signature, message: Buffer.from(message), namespace: NAMESPACE, at: NOON };

      expect(identifySigner(trust, signed)).toEqual({
        principal: "alice",
        fingerprint,
        keyType: line.split(" ")[0],
      });
    }
  });

  const signature = alice.sign(message);
  const asked = { principal: "alice", signature, message, at: NOON };
  const byAlice = `alice ${alice.line}`;

  test.each<[string, IdentityFault, Partial<Question> & { allowedSigners: string }]>([
    ["another message", "bad_signature", { allowedSigners: byAlice, message: `${message}.` }],
    ["another namespace", "wrong_namespace", { allowedSigners: byAlice, namespace: "file" }],
    ["a key that nobody has", "unknown_key", { allowedSigners: `alice ${makeKey("ssh-ed25519").line}` }],
    [
      "an expired key",
      "not_valid_then",
      { allowedSigners: `alice valid-before="20260601115959Z" ${alice.line}` },
    ],
    [
      "a key for later",
      "not_valid_then",
      { allowedSigners: `alice valid-after="202606011201Z" ${alice.line}` },
    ],
    [
      "a line for other namespaces",
      "wrong_namespace",
      { allowedSigners: `alice namespaces="git,file" ${alice.line}` },
    ],
    [
      "a line that excludes the namespace",
      "wrong_namespace",
      { allowedSigners: `alice namespaces="*,!midctl-*" ${alice.line}` },
    ],
    [
      "a revoked key",
      "revoked_key",
      { allowedSigners: byAlice, revokedKeys: `# stolen\n${alice.line} a comment\n` },
    ],
  ])("%s is refused", (_name, fault, question) => {
    expect(ours({ ...asked, ...question })).toBe(fault);
    expect(sshKeygenAccepts({ ...asked, ...question })).toBe(false);
  });

  test.each([
    ["valid until this very second", 'valid-before="20260601120000Z"'],
    ["valid from this very second", 'valid-after="20260601120000Z"'],
    ["valid for the day", 'valid-after="20260601Z",valid-before="20260602Z"'],
    ["for this namespace among others", 'namespaces="git,midctl-approval@v1"'],
    ["for a pattern", 'namespaces="midctl-*@v?"'],
    ["with an option in capitals", 'Namespaces="midctl-approval@v1"'],
  ])("a line %s is good", (_name, options) => {
    const question = {
      ...asked,
      allowedSigners: `# who may approve\n\n  alice ${options} ${alice.line} laptop\r\n`,
    };

    expect(ours(question)).toBe("alice");
    expect(sshKeygenAccepts(question)).toBe(true);
  });

  test("one fitting line of several is enough", () => {
    const question = {
      ...asked,
      allowedSigners: `alice namespaces="git" ${alice.line}\nalice valid-before="20200101Z" ${alice.line}\nalice ${alice.line}`,
    };

    expect(ours(question)).toBe("alice");
    expect(sshKeygenAccepts(question)).toBe(true);
  });

  test("a flipped bit is refused, at every 60th place of the armour", () => {
    const armored = Buffer.from(signature);
    for (let bit = 0; bit < armored.length * 8; bit += 61) {
      const flipped = Buffer.from(armored);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const question = { ...asked, allowedSigners: byAlice, signature: flipped.toString("latin1") };

      expect(ours(question), `bit ${bit}`).not.toBe("alice");
      expect(sshKeygenAccepts(question), `bit ${bit}`).toBe(false);
    }
  });
});

describe.runIf(hasSshKeygen)("stricter than ssh-keygen", () => {
  const hardware = makeKey("sk-ssh-ed25519@openssh.com");

  test.each([
    ["nobody touched the hardware key", hardware, hardware.sign(message, { flags: 0 }), "bad_signature"],
    ["somebody wrote into the unsigned field", alice, alice.sign(message, { reserved: "x" }), "malformed"],
    ["the version is 0", alice, alice.sign(message, { version: 0 }), "malformed"],
    ["text follows the armour", alice, `${alice.sign(message)}trailing`, "malformed"],
  ])("where %s", (_name, key, signature, fault) => {
    const question = {
      allowedSigners: `alice ${key.line}`,
      principal: "alice",
      signature,
      message,
      at: NOON,
    };

    expect(ours(question)).toBe(fault);
    expect(sshKeygenAccepts(question)).toBe(true);
  });

  test("RSA below 2048 bits is refused in the file already", () => {
    const key = makeKey("ssh-rsa", { rsaBits: 1024 });
    const question = {
      allowedSigners: `alice ${key.line}`,
      principal: "alice",
      signature: key.sign(message),
      message,
    };

    expect(() => ours(question)).toThrow(/allowed_signers:1/);
    expect(sshKeygenAccepts(question)).toBe(true);
  });
});

test("the armour that tests write is the one that is read", () => {
  const signature = alice.sign(message);

  expect(armor(dearmor(signature))).toBe(signature);
});
