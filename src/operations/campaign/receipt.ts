import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { readOutcomes } from "../../repository/approval.ts";
import type { Campaign, CampaignTarget } from "../../repository/campaign.ts";
import { readMoment } from "../../repository/moment.ts";
import { readRequest } from "../approval/read.ts";
import { type SaidHead, sayHead } from "../log-head.ts";
import { requireEnvironment } from "../lookup.ts";
import { readAllTargets, requireTerms } from "./read.ts";

/** What a campaign came to, for whoever was not there: all of it can be checked without the database but what became of each. */
export interface Receipt {
  readonly v: 1;
  readonly campaign: string;
  readonly environment: { readonly name: string; readonly live: boolean; readonly databaseId: string };
  readonly runbook: { readonly name: string; readonly sha256: string } | null;
  readonly status: Campaign["status"];
  readonly problem: string | null;
  readonly startedAt: string;
  readonly startedBy: string;
  readonly writtenAt: string;
  /** The exact bytes that were signed, their SHA-256, and who signed them; null where nothing had to be approved. */
  readonly approval: {
    readonly id: string;
    readonly status: string;
    readonly plan: string;
    readonly digest: string;
    readonly votes: readonly {
      readonly kind: string;
      readonly principal: string;
      readonly at: string;
      readonly signature: string | null;
    }[];
  } | null;
  readonly targets: readonly {
    readonly identity: string;
    readonly replaces: string;
    readonly credential: string | null;
    readonly state: string;
    readonly proven: boolean;
    readonly problem: string | null;
  }[];
  /** The log as it was. */
  readonly log: SaidHead;
}

/**
 * @throws MidctlError `conflict` for a campaign that another version began, and where the journal says of a target what the approval
 * says is not so: nobody signs that
 */
export async function readReceipt(db: Tx, campaign: Campaign): Promise<Receipt> {
  const { runbook } = requireTerms(campaign);
  const [environment, moment, targets] = await Promise.all([
    requireEnvironment(db),
    readMoment(db),
    readAllTargets(db, campaign.id),
  ]);
  const { id, status, problem, startedAt, startedBy } = campaign;
  const approval = campaign.approval === null ? null : await readApproval(db, campaign.approval, targets);
  return {
    v: 1,
    campaign: id,
    environment: {
      name: environment.name,
      live: environment.kind === "live",
      databaseId: environment.databaseId,
    },
    ...{ runbook, status, problem, startedAt, startedBy },
    writtenAt: moment.now,
    approval,
    targets: targets.map((target) => ({
      identity: target.slug,
      replaces: target.replaces,
      credential: target.successor,
      ...{ state: target.state, proven: target.proven, problem: target.problem },
    })),
    log: await sayHead(moment),
  };
}

/** The journal is anybody's to write who may rotate; what becomes of a line is not. */
function altered(approval: string, slug: string): MidctlError {
  return new MidctlError(
    "conflict",
    `The journal says that ${slug} was rotated, and ${approval} says that it was not; no receipt was written.`,
    {
      hint: `Somebody altered the journal. midctl approval show ${approval} has what was carried out; begin another campaign for ${slug}.`,
      details: { approval, identity: slug },
    },
  );
}

async function readApproval(
  db: Tx,
  id: string,
  targets: readonly CampaignTarget[],
): Promise<Receipt["approval"]> {
  const { approval, plan, text, votes } = await readRequest(db, id);
  const outcomes = await readOutcomes(db, id);
  for (const { position, slug, state, successor } of targets) {
    if (state !== "issued" && state !== "delivered") continue;
    if (plan.lines[position - 1]?.credential?.id !== successor || outcomes.get(position)?.outcome !== "done")
      throw altered(id, slug);
  }
  return {
    id,
    status: approval.status,
    plan: text,
    digest: approval.digest,
    votes: votes.map(({ kind, principal, at, signature }) => ({ kind, principal, at, signature })),
  };
}
