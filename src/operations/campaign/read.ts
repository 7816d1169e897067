import { setTimeout as wait } from "node:timers/promises";
import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import {
  type Campaign,
  type CampaignTarget,
  findCampaign,
  readCampaigns,
  readCampaignTargets,
} from "../../repository/campaign.ts";
import { type CampaignTerms, readTerms } from "./terms.ts";

/** Targets that are read at once. */
const PAGE = 1_000;
/** Between two looks at who has moved, ms. */
const LOOK = 1_000;
/** So many campaigns are listed. */
const LISTED = 50;

/** @throws MidctlError `not_found` */
export async function requireCampaign(db: Tx, id: string): Promise<Campaign> {
  const campaign = await findCampaign(db, id);
  if (campaign !== null) return campaign;
  throw new MidctlError("not_found", `There is no campaign ${id} in this database; nothing was changed.`, {
    hint: "midctl runbook status shows which there are.",
  });
}

/** @throws MidctlError `conflict` for one that another version began */
export function requireTerms(campaign: Campaign): CampaignTerms {
  const terms = readTerms(campaign.terms);
  if (terms !== null) return terms;
  throw new MidctlError(
    "conflict",
    `${campaign.id} was begun by another version of midctl, and is not understood; nothing was changed.`,
    { hint: "Go on with the version that began it, or begin another one." },
  );
}

/** The newest campaigns, newest first. */
export function listCampaigns(db: Tx): Promise<Campaign[]> {
  return readCampaigns(db, LISTED);
}

/** All targets of a campaign, in their order. */
export async function readAllTargets(db: Tx, id: string): Promise<CampaignTarget[]> {
  const targets: CampaignTarget[] = [];
  for (let after = 0; ; ) {
    const page = await readCampaignTargets(db, id, { after, limit: PAGE, only: null });
    targets.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return targets;
    after = last.position;
  }
}

/**
 * Waits until every new secret has been used, the time is up, or `stopping` says so; the campaign as it stands then.
 * @param seconds at most
 */
export async function awaitProof(
  db: Tx,
  id: string,
  seconds: number,
  stopping: () => boolean,
): Promise<Campaign> {
  const until = performance.now() + seconds * 1000;
  for (;;) {
    const seen = await requireCampaign(db, id);
    const left = until - performance.now();
    if (seen.proven >= seen.targets || left <= 0 || stopping()) return seen;
    await wait(Math.min(LOOK, left));
  }
}
