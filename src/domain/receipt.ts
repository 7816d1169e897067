import { NAMESPACES, type VoteKind } from "./plan.ts";
import { type IdentityFault, identifySigner, type TrustRoot } from "./trust.ts";

/** Whether what was signed under a plan is enough for it, as a trust root judges (SPEC §9). */

/** As much of a plan as its signatures are judged by. */
export interface JudgedPlan {
  /** The canonical bytes that were signed. */
  readonly text: string;
  readonly requester: string;
  /** RFC 3339: the time by which a signer's `valid-before` is judged. */
  readonly requestedAt: string;
  readonly databaseId: string;
}

export interface Signature {
  readonly kind: VoteKind;
  /** SSHSIG, armored. */
  readonly signature: string | null;
}

export interface Signer {
  readonly kind: VoteKind;
  readonly principal: string;
  readonly fingerprint: string;
}

/** Why a plan is not in force; null where it is. */
export type Shortcoming = "database" | "request_unsigned" | "quorum";

export interface Judgement {
  readonly short: Shortcoming | null;
  /** Principals whose approval counts: not the requester, each once, whatever the number of their keys. */
  readonly approvers: readonly string[];
  readonly quorum: number;
  /** Whose signatures hold, of whatever kind. */
  readonly signers: readonly Signer[];
  /** Why the others do not, in the order given. */
  readonly faults: readonly IdentityFault[];
}

/**
 * Judges a plan by what is signed under it. Whose signature one is, its key says, and nothing beside it. The requester's own
 * approval never counts; nor does a signature made for another purpose.
 */
export function judgePlan(trust: TrustRoot, plan: JudgedPlan, signatures: readonly Signature[]): Judgement {
  const message = new TextEncoder().encode(plan.text);
  const at = Date.parse(plan.requestedAt);
  const signers: Signer[] = [];
  const faults: IdentityFault[] = [];
  for (const { kind, signature } of signatures) {
    if (signature === null) continue;
    const found = identifySigner(trust, { armored: signature, message, namespace: NAMESPACES[kind], at });
    if ("fault" in found) faults.push(found.fault);
    else signers.push({ kind, principal: found.principal, fingerprint: found.fingerprint });
  }
  const approvers = new Set(
    signers
      .filter(({ kind, principal }) => kind === "approval" && principal !== plan.requester)
      .map(({ principal }) => principal),
  );
  const requested = signers.some(({ kind, principal }) => kind === "request" && principal === plan.requester);
  const { quorum, requesterSigns, databases } = trust.policy;
  const short =
    databases !== null && !databases.includes(plan.databaseId)
      ? "database"
      : requesterSigns && !requested
        ? "request_unsigned"
        : approvers.size < quorum
          ? "quorum"
          : null;
  return { short, approvers: [...approvers], quorum, signers, faults };
}
