import { randomBytes } from "node:crypto";
import type { Database, Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type Commitment, createToken } from "../../domain/token.ts";
import { insertCampaign } from "../../repository/campaign.ts";
import type { Environment } from "../../repository/environment.ts";
import { type Draft, draftRotation } from "../approval/draft.ts";
import { rehearseLine } from "../approval/rehearse.ts";
import { type Asking, requestApproval, type SignedRequest } from "../approval/request.ts";
import type { Request } from "../change.ts";
import { previewIssuance } from "../issuance.ts";
import { type Chosen, type ChosenTargets, createCampaignId } from "./begin.ts";
import { type Delivery, type Prepared, TOGETHER } from "./delivery.ts";
import { isRefusal } from "./issue.ts";
import { reasonOf } from "./run.ts";
import { refuseStrangers } from "./standing.ts";
import { type CampaignTerms, rotationOf, writeTerms } from "./terms.ts";

/** So many of those that cannot be rotated are named in the message. */
const NAMED = 3;

/**
 * Prepares every secret, and asks once for all: a plan with a line for each target. The campaign is written down with the request,
 * and rotates nobody before that is approved.
 * @throws MidctlError `conflict` where a target cannot be rotated, `undeliverable` where a secret cannot be kept; nothing is asked for
 * then, and what was prepared is taken back
 */
export async function requestCampaign(
  db: Database,
  request: Request,
  asking: Asking,
  terms: CampaignTerms,
  { targets }: ChosenTargets,
  { delivery, environment }: { readonly delivery: Delivery; readonly environment: Environment },
): Promise<{ readonly id: string; readonly requested: SignedRequest }> {
  const id = createCampaignId();
  const prepared: Prepared[] = [];
  try {
    const taken: { readonly identity: string; readonly message: string }[] = [];
    for (let at = 0; at < targets.length; at += TOGETHER) {
      const some = targets.slice(at, at + TOGETHER).map((target) => ({ ...target, successor: null }));
      const made = await Promise.allSettled(some.map((target) => delivery.prepare(target, id, environment)));
      const placed = made.flatMap((each, index) => {
        const target = some[index];
        return each.status === "fulfilled" && target !== undefined ? [{ target, prepared: each.value }] : [];
      });
      prepared.push(...placed.map((each) => each.prepared));
      for (const each of made) if (each.status === "rejected") throw each.reason;
      const strangers = await refuseStrangers(db, placed);
      for (const [{ target }, { message }] of strangers.taken) taken.push({ identity: target.slug, message });
    }
    if (taken.length > 0) throw cannotAsk(taken, targets.length);
    await delivery.settle();
    const commitments = prepared.map(({ commitment }) => commitment);
    const drafts = await draftAll(db, request, terms, targets, commitments);
    const said = { ...request, reason: reasonOf(request, terms, id) };
    const requested = await requestApproval(db, said, asking, drafts, {
      beside: (tx, approval) =>
        insertCampaign(
          tx,
          { id, terms: writeTerms(terms), startedBy: request.actor.name, approval },
          targets.map((target, at) => ({ ...target, successor: `mc_${commitments[at]?.publicId}` })),
        ),
    });
    return { id, requested };
  } catch (error) {
    if (isRefusal(error)) for (const each of prepared) each.discard();
    throw error;
  }
}

/** Tries every rotation of a campaign, rolled back, with secrets that nobody keeps. @throws MidctlError as `requestCampaign` */
export async function rehearseCampaign(
  db: Database,
  request: Request,
  terms: CampaignTerms,
  { targets }: ChosenTargets,
  { kind }: Environment,
): Promise<void> {
  const commitments = targets.map(() => createToken(kind, randomBytes));
  await draftAll(db, request, terms, targets, commitments);
}

async function draftAll(
  db: Database,
  request: Request,
  terms: CampaignTerms,
  targets: readonly Chosen[],
  commitments: readonly Commitment[],
): Promise<Draft[]> {
  const drafts: Draft[] = [];
  const faults: { readonly identity: string; readonly message: string }[] = [];
  for (const [at, target] of targets.entries()) {
    try {
      const draft = await draftOne(db, terms, target, commitments[at] as Commitment);
      await rehearseLine(db, request, draft);
      drafts.push(draft);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      faults.push({ identity: target.slug, message: error.message });
    }
  }
  if (faults.length > 0) throw cannotAsk(faults, targets.length);
  return drafts;
}

async function draftOne(db: Tx, terms: CampaignTerms, target: Chosen, secret: Commitment): Promise<Draft> {
  const { environment, holders } = await previewIssuance(db, target.slug, terms.name);
  const pending = holders.pending?.id === target.replacesPending ? holders.pending : null;
  const draft = await draftRotation(
    db,
    rotationOf(terms, {
      ...{ slug: target.slug, expected: target.replaces, secret, replacePending: pending !== null },
    }),
    { environment, holders: { current: holders.current, pending } },
  );
  if (draft.line.do === "credential.rotate" && draft.line.replaces.id === target.replaces) return draft;
  throw new MidctlError("conflict", `${target.slug} was rotated meanwhile.`);
}

function cannotAsk(
  faults: readonly { readonly identity: string; readonly message: string }[],
  of: number,
): MidctlError {
  const told = faults.slice(0, NAMED).map(({ message }) => message.replace(/\.$/, ""));
  const more = faults.length > NAMED ? `; and ${faults.length - NAMED} more` : "";
  return new MidctlError(
    "conflict",
    `${faults.length} of ${of} cannot be rotated, and nothing was requested: ${told.join("; ")}${more}.`,
    { hint: "Select those that can, or mend what stands in the way.", details: { refused: faults } },
  );
}
