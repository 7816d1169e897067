import { randomBytes } from "node:crypto";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { addSeconds } from "../../domain/instant.ts";
import { LONGEST_EXECUTION, TYPED_DIGITS } from "../../domain/plan.ts";
import { createPublicId } from "../../domain/token.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import { type Approval, insertRequest, insertVote, readMoment } from "../../repository/approval.ts";
import { change, type Request } from "../change.ts";
import { requireEnvironment } from "../lookup.ts";
import type { Draft } from "./draft.ts";
import { type Plan, writePlan } from "./plan.ts";

/** Time for the approval where nothing is said: 8 hours. */
export const DEFAULT_APPROVAL = 8 * 3600;
export const DEFAULT_EXECUTION = LONGEST_EXECUTION;

/** Who asks, and how long there is for an answer. */
export interface Asking {
  readonly trust: TrustRoot;
  /** The principal of the key that signs; or, where the policy lets requests go unsigned, a claim. */
  readonly requester: string;
  /** SSHSIG over the plan, in the namespace of requests; null where it goes unsigned. */
  readonly sign: ((plan: string) => Promise<Signed>) | null;
  /** Seconds, at most a day. */
  readonly approveWithin: number;
  readonly executeWithin: number;
  /** Called with the plan before the request is written; its failure leaves no request. */
  readonly keep?: (requested: WrittenPlan) => void;
}

export interface Signed {
  readonly signature: string;
  readonly fingerprint: string;
}

export interface WrittenPlan {
  readonly id: string;
  readonly text: string;
  readonly digest: string;
}

/**
 * Asks for what was drafted: one plan, one request, signed. Nothing of what it says is done. Nobody is waited for inside a
 * transaction: the signature is made before.
 */
export async function requestApproval(
  db: Database,
  request: Request,
  asking: Asking,
  action: string,
  drafts: readonly Draft[],
  breakGlass: Plan["breakGlass"] = null,
): Promise<WrittenPlan & { readonly plan: Plan }> {
  const [environment, moment] = await Promise.all([requireEnvironment(db), readMoment(db)]);
  const executeBy = addSeconds(moment.now, Math.min(asking.executeWithin, LONGEST_EXECUTION));
  const approveBy = addSeconds(
    moment.now,
    Math.min(asking.approveWithin, asking.executeWithin, LONGEST_EXECUTION),
  );
  const plan: Plan = {
    v: 1,
    id: `ap_${createPublicId(randomBytes)}`,
    action,
    environment: {
      name: environment.name,
      live: environment.kind === "live",
      databaseId: environment.databaseId,
    },
    requester: asking.requester,
    reason: request.reason,
    nonce: randomBytes(16).toString("hex"),
    requestedAt: moment.now,
    approveBy,
    executeBy,
    log: { size: moment.size, leafHash: moment.leafHash },
    breakGlass,
    lines: drafts.map(({ line }) => line),
  };
  const written = { id: plan.id, ...writePlan(plan) };
  const signed = await asking.sign?.(written.text);
  asking.keep?.(written);
  await change(db, { ...request, approval: plan.id }, async (tx) => {
    await insertRequest(tx, {
      plan: written.text,
      digest: written.digest,
      hashes: drafts.map(({ hash }) => hash),
      quorum: asking.trust.policy.quorum,
    });
    if (signed !== undefined) {
      await insertVote(tx, plan.id, {
        kind: "request",
        principal: asking.requester,
        keyFingerprint: signed.fingerprint,
        signature: signed.signature,
      });
    }
  });
  return { ...written, plan };
}

/** What a gated command ends with: nothing was done, and this is how it goes on. */
export function approvalRequired(
  approval: Pick<Approval, "id" | "digest" | "status">,
  environment: { readonly name: string },
  { made, planFile }: { readonly made: boolean; readonly planFile: string | null },
): MidctlError {
  const { id, digest, status } = approval;
  const typed = digest.slice(0, TYPED_DIGITS);
  const [message, hint] =
    status === "approved"
      ? [
          `${id} is approved and waits to be carried out; nothing was done by this command.`,
          `midctl approval apply ${id}`,
        ]
      : [
          made
            ? `The environment ${environment.name} is protected: the approval ${id} was requested, and nothing was changed.`
            : `The approval ${id} is open, and was requested before; nothing was changed.`,
          `An owner runs: midctl approval approve ${id} --key KEY, and types ${typed}. Then: midctl approval apply ${id}`,
        ];
  return new MidctlError("approval_required", message, {
    hint,
    details: { approval: id, digest, status, approve: typed, planFile },
  });
}
