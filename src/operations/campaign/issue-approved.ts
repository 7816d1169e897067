import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { commitToHash } from "../../domain/plan.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import type { Approval } from "../../repository/approval.ts";
import { setCampaignTargets } from "../../repository/campaign.ts";
import { findCredential } from "../../repository/credential.ts";
import { applyLine, CARRIED_OUT, requireInForce } from "../approval/apply.ts";
import { type FoundRequest, judgeRequest, readRequest, requireRequest } from "../approval/read.ts";
import { approvalRequired } from "../approval/request.ts";
import type { Request } from "../change.ts";
import type { Issuer, Outcome, Ready } from "./delivery.ts";
import { failure, isRefusal } from "./issue.ts";
import { readAllTargets } from "./read.ts";

/** Effective statuses of a successor whose secret is worth delivering. */
const DELIVERED = new Set(["pending", "active", "grace", "paused", "identity_paused"]);

/**
 * Issues by the plan that was approved: the line of each target, once, in the transaction that rotates it.
 * @param again how the campaign is gone on with, for whoever is told that it waits
 * @throws MidctlError `approval_required` where it waits for votes, `denied` where the trust root does not agree that it is approved
 */
export async function issueByApproval(
  db: Database,
  request: Request,
  campaign: { readonly id: string; readonly approval: string },
  trust: TrustRoot,
  again: string,
): Promise<Issuer> {
  const found = await readRequest(db, campaign.approval);
  const { approval, plan } = found;
  if (approval.status === "open") {
    throw approvalRequired(approval, plan.environment, {
      made: false,
      planFile: null,
      campaign: { id: campaign.id, again },
    });
  }
  const closed = hasEnded(approval) ? `${approval.id} is ${approval.status}` : null;
  if (closed === null) requireInForce(approval.id, judgeRequest(trust, found));
  const acting: Request = { ...request, approval: approval.id };
  return {
    closed,
    async issue(ready, failed) {
      const issued: Ready[] = [];
      for (const one of ready) {
        if (isElsewhere(found, one)) {
          one.prepared.discard();
          failed.push(elsewhere(one, approval.id));
          continue;
        }
        try {
          await issueOne(db, acting, campaign.id, found, one);
          issued.push(one);
        } catch (error) {
          // Nothing is taken back: the plan names this very secret, and may be carried out yet.
          if (!isRefusal(error)) throw error;
          failed.push(failure(one, error));
        }
      }
      return issued;
    },
  };
}

function hasEnded({ status }: Approval): boolean {
  return status !== "open" && status !== "executed" && !CARRIED_OUT.has(status);
}

/** Whether nobody can go on with a campaign: its plan was rejected, cancelled or ran out of time, and all that it issued was delivered. */
export async function isOver(
  db: Tx,
  { id, approval }: { readonly id: string; readonly approval: string },
): Promise<boolean> {
  if (!hasEnded(await requireRequest(db, approval))) return false;
  return (await readAllTargets(db, id)).every(({ state }) => state !== "issued");
}

/**
 * Whether a line was carried out with a secret that lies on another machine. It may be the only one that works by now, so it stays
 * to be delivered: also where the plan ends meanwhile.
 */
function isElsewhere({ plan }: FoundRequest, { target, prepared }: Ready): boolean {
  const line = plan.lines[target.position - 1];
  return (
    target.state === "issued" &&
    line?.do === "credential.rotate" &&
    line.identity.slug === target.slug &&
    line.token.secret !== commitToHash(prepared.commitment.hash)
  );
}

function elsewhere({ target }: Ready, approval: string): Outcome {
  const problem = `The secret of ${target.slug} was issued by ${approval} and is not here; resume where it was prepared.`;
  return { target, state: "issued", problem };
}

async function issueOne(
  db: Database,
  request: Request,
  campaign: string,
  found: FoundRequest,
  { target, prepared }: Ready,
): Promise<void> {
  const { slug, position } = target;
  const line = found.plan.lines[position - 1];
  const { publicId, hash } = prepared.commitment;
  const successor = `mc_${publicId}`;
  if (line?.do !== "credential.rotate" || line.identity.slug !== slug) {
    throw new MidctlError(
      "conflict",
      `Line ${position} of ${found.approval.id} is not about ${slug}; nothing was issued.`,
    );
  }
  if (line.credential.id !== successor || line.token.secret !== commitToHash(hash)) {
    // What was made in its stead is in no plan, so nothing can be issued against it.
    prepared.discard();
    throw new MidctlError(
      "conflict",
      `The secret of ${slug} that ${found.approval.id} was made for is gone; nothing was issued, and the old one goes on.`,
      { hint: "Rotate it by itself, or begin another campaign." },
    );
  }
  if (target.state !== "issued") {
    const applied = await applyLine(db, request, found, position, hash, async (tx) => {
      await setCampaignTargets(tx, campaign, [{ position, state: "issued", successor, problem: null }]);
    });
    if (applied?.outcome === "done") return;
    if (applied !== null) throw new MidctlError("conflict", applied.problem ?? `${slug} was not rotated.`);
  }
  // Carried out before, by whomever: what has ended since is not put in the place of one that works.
  const credential = await findCredential(db, publicId);
  if (credential !== null && DELIVERED.has(credential.effectiveStatus)) return;
  throw new MidctlError(
    "conflict",
    credential === null
      ? `The line of ${slug} was ended without a rotation; nothing was issued.`
      : `${successor} of ${slug} is ${credential.effectiveStatus} by now; its secret was not delivered.`,
  );
}
