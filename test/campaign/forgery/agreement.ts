import type { KeyType } from "../../../src/domain/ssh-key.ts";
import { identifySigner, readTrust } from "../../../src/domain/trust.ts";
import { makeKey, NAMESPACE, type Question, sshKeygenAccepts } from "../../support/ssh.ts";

const NOON = Date.parse("2026-06-01T12:00:00Z");
const MESSAGE = "the bytes that people approve";
const TYPES: readonly KeyType[] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"];

/** Our verdicts beside those of the real ssh-keygen, of each kind of key; returns a line that counts them. */
export function compareVerdicts(violations: string[]): string {
  let compared = 0;
  const counts = { good: 0, refused: 0 };
  for (const type of TYPES) {
    for (const [name, expected, question] of cases(type)) {
      compared++;
      const [here, there] = [ours(question), sshKeygenAccepts(question)];
      counts[here ? "good" : "refused"]++;
      if (here !== there || here !== expected) {
        violations.push(
          `verdicts: ${type}, ${name}: here ${here}, ssh-keygen ${there}, expected ${expected}`,
        );
      }
    }
  }
  return `verdicts compared with ssh-keygen: ${compared} (${counts.good} good, ${counts.refused} refused)`;
}

function cases(type: KeyType): readonly (readonly [string, boolean, Question])[] {
  const [key, other] = [makeKey(type), makeKey(type)];
  const valid: Question = {
    allowedSigners: `alice ${key.line}`,
    principal: "alice",
    signature: key.sign(MESSAGE),
    message: MESSAGE,
    at: NOON,
  };
  return [
    ["valid", true, valid],
    ["another message", false, { ...valid, message: `${MESSAGE}.` }],
    ["another's signature", false, { ...valid, signature: other.sign(MESSAGE) }],
    [
      "signed for another namespace",
      false,
      { ...valid, signature: key.sign(MESSAGE, { namespace: "file" }) },
    ],
    ["read in another namespace", false, { ...valid, namespace: "midctl-request@v1" }],
    ["namespace not permitted", false, { ...valid, allowedSigners: `alice namespaces="file" ${key.line}` }],
    ["still valid", true, { ...valid, allowedSigners: `alice valid-before="20260602Z" ${key.line}` }],
    ["expired", false, { ...valid, allowedSigners: `alice valid-before="20260531Z" ${key.line}` }],
    ["not yet valid", false, { ...valid, allowedSigners: `alice valid-after="20260602Z" ${key.line}` }],
    ["revoked", false, { ...valid, revokedKeys: `${key.line}\n` }],
    ["another key revoked", true, { ...valid, revokedKeys: `${other.line}\n` }],
  ];
}

const spare = makeKey("ssh-ed25519");

function ours({ allowedSigners, signature, message, namespace = NAMESPACE, revokedKeys, at = 0 }: Question) {
  // Another signer, so that a quorum can be met where the first may not sign.
  const texts = { policy: '{"requesterSigns":false}', revokedKeys: revokedKeys ?? null };
  const trust = readTrust({ ...texts, allowedSigners: `${allowedSigners}\nspare ${spare.line}` });
  const found = identifySigner(trust, { armored: signature, message: Buffer.from(message), namespace, at });
  return !("fault" in found);
}
