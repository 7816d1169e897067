import { parseAllowedSigners, parseRevokedKeys, permitsNamespace, type Signer } from "./allowed-signers.ts";
import { MidctlError } from "./errors.ts";
import { NAMESPACES } from "./plan.ts";
import { type Policy, parsePolicy } from "./policy.ts";
import type { PublicKey } from "./ssh-key.ts";
import { checkSignature, parseSignature, type SignatureFault } from "./sshsig.ts";
import { quote } from "./visible.ts";

/** Whom to believe, and what they must agree on (SPEC §9): a directory under version control, never the database. */
export interface TrustRoot {
  readonly signers: readonly Signer[];
  /** Wire forms of revoked keys, base64. */
  readonly revoked: ReadonlySet<string>;
  readonly policy: Policy;
  /** The lines of each key, by its wire form in base64. */
  readonly byKey: ReadonlyMap<string, readonly [Signer, ...Signer[]]>;
}

export interface TrustTexts {
  readonly allowedSigners: string;
  /** `policy.json` */
  readonly policy: string;
  /** null where there is no such file. */
  readonly revokedKeys: string | null;
}

export interface SignedMessage {
  readonly armored: string;
  readonly message: Uint8Array;
  readonly namespace: string;
  /** When the signer's key must have been valid: the plan's time, ms since 1970. */
  readonly at: number;
}

export interface IdentifiedSigner {
  readonly principal: string;
  /** As `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly keyType: string;
}

export type IdentityFault = SignatureFault | "unknown_key" | "not_valid_then" | "revoked_key";

/**
 * The trust root that these texts say. Throws `usage`, naming file and line, for whatever is not understood, and for a
 * policy that nobody could ever meet: a quorum of more people than may approve, a break-glass name without a key.
 * `directory` is for messages alone.
 */
export function readTrust(texts: TrustTexts, directory?: string): TrustRoot {
  const named = (file: string) => (directory === undefined ? file : `${directory}/${file}`);
  const signers = parseAllowedSigners(texts.allowedSigners, named("allowed_signers"));
  const revoked = parseRevokedKeys(texts.revokedKeys ?? "", named("revoked_keys"));
  const policy = parsePolicy(texts.policy, named("policy.json"));
  const inForce = signers.filter(({ key }) => !revoked.has(key.blob));
  checkPolicy(policy, inForce, named("policy.json"));
  const byKey = new Map<string, [Signer, ...Signer[]]>();
  for (const signer of signers) {
    const lines = byKey.get(signer.key.blob);
    if (lines === undefined) byKey.set(signer.key.blob, [signer]);
    else lines.push(signer);
  }
  return { signers, revoked, policy, byKey };
}

/**
 * Who signed, as the trust root knows them, or why nobody is believed to have. A line counts where its `namespaces` permit
 * this one and its key was valid at `at`; one fitting line of a key is enough. Never throws.
 */
export function identifySigner(
  trust: TrustRoot,
  { armored, message, namespace, at }: SignedMessage,
): IdentifiedSigner | { readonly fault: IdentityFault } {
  const signature = parseSignature(armored);
  if (signature === null) return { fault: "malformed" };
  if (signature.namespace !== namespace) return { fault: "wrong_namespace" };
  if (trust.revoked.has(signature.keyBlob)) return { fault: "revoked_key" };
  // A stranger's key is not even parsed: nobody makes a verifier work for nothing.
  const lines = trust.byKey.get(signature.keyBlob);
  if (lines === undefined) return { fault: "unknown_key" };
  const key: PublicKey = lines[0].key;
  const fault = checkSignature(signature, key, message, namespace);
  if (fault !== null) return { fault };
  const permitting = lines.filter((line) => permitsNamespace(line, namespace));
  if (permitting.length === 0) return { fault: "wrong_namespace" };
  const line = permitting.find((each) => isValidAt(each, at));
  if (line === undefined) return { fault: "not_valid_then" };
  return { principal: line.principal, fingerprint: key.fingerprint, keyType: key.type };
}

function isValidAt({ validAfter, validBefore }: Signer, at: number): boolean {
  // Written so that NaN is never valid.
  return (validAfter === null || at >= validAfter) && (validBefore === null || at <= validBefore) && at >= 0;
}

function checkPolicy(
  { quorum, requesterSigns, breakGlass }: Policy,
  signers: readonly Signer[],
  file: string,
): void {
  const everybody = new Set(signers.map(({ principal }) => principal));
  const stranger = breakGlass.find((name) => !everybody.has(name));
  if (stranger !== undefined) {
    throw new MidctlError(
      "usage",
      `${file}: breakGlass names ${quote(stranger)}, who has no key in allowed_signers.`,
      {
        hint: "Give them a line in allowed_signers, or take the name out. Names are compared letter by letter.",
      },
    );
  }
  const approvers = permitted(signers, NAMESPACES.approval);
  const requesters = permitted(signers, NAMESPACES.request);
  if (requesterSigns && requesters.size === 0) {
    throw new MidctlError(
      "usage",
      `${file}: nobody can request: requests must be signed, and no key may sign them.`,
      {
        hint: `Let a line of allowed_signers permit the namespace ${NAMESPACES.request}, or set requesterSigns to false.`,
      },
    );
  }
  // Who requests never counts. Where a request is signed, that is an approver less, unless one may ask and not approve.
  const lost = requesterSigns && [...requesters].every((name) => approvers.has(name)) ? 1 : 0;
  const most = Math.max(0, approvers.size - lost);
  if (quorum > most) {
    throw new MidctlError(
      "usage",
      `${file}: a quorum of ${quorum} can never be met: at most ${most} can approve.`,
      {
        hint: `Signers whose keys permit ${NAMESPACES.approval}: ${approvers.size}${lost === 1 ? "; the one who requests does not count" : ""}. Add signers, or lower the quorum.`,
      },
    );
  }
}

function permitted(signers: readonly Signer[], namespace: string): Set<string> {
  return new Set(
    signers.filter((line) => permitsNamespace(line, namespace)).map(({ principal }) => principal),
  );
}
