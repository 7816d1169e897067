import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { NAMESPACES, type VoteKind } from "../../domain/plan.ts";
import { type IdentityFault, identifySigner, type TrustRoot } from "../../domain/trust.ts";
import { type Approval, cancelApproval, findApproval, insertVote } from "../../repository/approval.ts";
import { findCampaignOf } from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { type FoundRequest, readRequest, requireRequest } from "./read.ts";

/** What a vote came to. */
export interface Voted {
  /** False where this principal had voted so already. */
  readonly changed: boolean;
  readonly approval: Approval;
  readonly principal: string;
  /** `rb_…`: the campaign that carries it out; null where `approval apply` does. */
  readonly campaign: string | null;
}

const STOPPABLE: ReadonlySet<Approval["status"]> = new Set(["open", "approved", "expired"]);
const VOTABLE: ReadonlySet<Approval["status"]> = new Set([
  ...(["open", "approved", "uncountersigned", "countersigned"] as const),
]);

const WHY: Readonly<Record<IdentityFault, string>> = {
  malformed: "it is no SSH signature",
  wrong_namespace: "it was made for another purpose (namespace)",
  bad_signature: "it does not fit these bytes",
  unknown_key: "its key is of nobody in allowed_signers",
  not_valid_then: "its key was not valid when the plan was made",
  revoked_key: "its key is revoked",
};

/** Whose signature over a plan this is. Throws `denied` that says why it is nobody's. */
export function requireSigner(
  trust: TrustRoot,
  { plan, text }: Pick<FoundRequest, "plan" | "text">,
  kind: VoteKind,
  signature: string,
): { readonly principal: string; readonly fingerprint: string } {
  const found = identifySigner(trust, {
    armored: signature,
    message: new TextEncoder().encode(text),
    namespace: NAMESPACES[kind],
    at: Date.parse(plan.requestedAt),
  });
  if (!("fault" in found)) return found;
  throw new MidctlError("denied", `The signature does not count: ${WHY[found.fault]}. Nothing was changed.`, {
    hint: "midctl approval show says which trust root judges; a signature is made by `midctl approval approve`, or by ssh-keygen as docs/approvals.md shows.",
    details: { fault: found.fault },
  });
}

/**
 * Takes an owner's approval: whose it is, the key says. Safe to repeat.
 * @throws MidctlError `denied` for a signature that does not count and for the requester's own; `conflict` and
 * `illegal_transition` where it comes too late
 */
export async function approveRequest(
  db: Database,
  request: Request,
  trust: TrustRoot,
  id: string,
  signature: string,
): Promise<Voted> {
  const found = await readRequest(db, id);
  const { principal, fingerprint } = requireSigner(trust, found, "approval", signature);
  if (principal === found.plan.requester) {
    throw new MidctlError(
      "denied",
      `${id} was requested by ${principal}, who cannot approve it too; nothing was changed.`,
      { hint: "Another owner must. Keys do not count, people do." },
    );
  }
  const voted = found.votes.some(
    (vote) => vote.kind === "approval" && vote.principal === principal && vote.signature === signature,
  );
  if (!voted) {
    const { status } = found.approval;
    if (!VOTABLE.has(status)) {
      throw new MidctlError("illegal_transition", `${id} is ${status}; nothing was changed.`, {
        hint: "It takes no more votes: request it anew where it is still wanted.",
        details: { approval: id, status },
      });
    }
    await change(db, { ...request, approval: id }, (tx) =>
      insertVote(tx, id, { kind: "approval", principal, keyFingerprint: fingerprint, signature }),
    );
  }
  const [approval, campaign] = await Promise.all([requireApproval(db, id), findCampaignOf(db, id)]);
  return { changed: !voted, approval, principal, campaign };
}

/**
 * Ends a request: one rejection does. It need not be signed, since all it can do is stop.
 * @throws MidctlError `illegal_transition` where it has ended already
 */
export async function rejectRequest(
  db: Database,
  request: Request,
  id: string,
  signed: { readonly trust: TrustRoot; readonly signature: string } | null,
): Promise<Voted> {
  // Whatever became of its plan, a request can be stopped.
  const approval = await requireRequest(db, id);
  const signer =
    signed === null
      ? { principal: request.actor.name, fingerprint: null }
      : requireSigner(signed.trust, await readRequest(db, id), "rejection", signed.signature);
  const by = { principal: signer.principal, campaign: await findCampaignOf(db, id) };
  if (approval.status === "rejected") return { changed: false, approval, ...by };
  requireStoppable(approval);
  await change(db, { ...request, approval: id }, (tx) =>
    insertVote(tx, id, {
      kind: "rejection",
      principal: signer.principal,
      keyFingerprint: signer.fingerprint,
      signature: signed?.signature ?? null,
    }),
  );
  const after = await requireApproval(db, id);
  const rejected = request.dryRun === true ? { ...after, status: "rejected" as const } : after;
  return { changed: true, approval: rejected, ...by };
}

/** Takes a request back. Throws `illegal_transition` where it has ended already. */
export async function cancelRequest(
  db: Database,
  request: Request,
  id: string,
): Promise<{ readonly changed: boolean; readonly approval: Approval }> {
  const approval = await requireRequest(db, id);
  if (approval.status === "cancelled") return { changed: false, approval };
  requireStoppable(approval);
  await change(db, { ...request, approval: id }, (tx) => cancelApproval(tx, id));
  return { changed: true, approval: await requireApproval(db, id) };
}

/** The guards refuse it too, without a way on. */
function requireStoppable({ id, status }: Approval): void {
  if (STOPPABLE.has(status)) return;
  throw new MidctlError("illegal_transition", `${id} is ${status}; nothing was changed.`, {
    hint: "What has ended is not ended again; midctl approval list shows what is open.",
    details: { approval: id, status },
  });
}

async function requireApproval(db: Database, id: string): Promise<Approval> {
  const approval = await findApproval(db, id);
  if (approval === null)
    throw new MidctlError("internal", `${id} cannot be read after the vote, which stands.`);
  return approval;
}
