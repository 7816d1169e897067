/** Rotating many: how it begins, runs and goes on, and what it comes to. */

import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  beginCampaign,
  type Chosen,
  type ChosenTargets,
  chooseTargets,
} from "../operations/campaign/begin.ts";
import { awaitProof, readAllTargets } from "../operations/campaign/read.ts";
import { runCampaign } from "../operations/campaign/run.ts";
import { type CampaignTerms, readTerms } from "../operations/campaign/terms.ts";
import { requireEnvironment } from "../operations/lookup.ts";
import type { Selection } from "../operations/selection.ts";
import type { Campaign } from "../repository/campaign.ts";
import type { CampaignDocument } from "./campaign-document.ts";
import type { Means } from "./campaign-means.ts";
import { requireLasting } from "./campaign-options.ts";
import type { ReceiptWords, WriteReceipt } from "./campaign-receipt.ts";
import type { VerbContext } from "./context.ts";
import type { GateWords } from "./gate.ts";
import { endInOrder, type Signal } from "./interruption.ts";
import { requestFrom } from "./request.ts";
import { requireTrustRoot } from "./trust.ts";
import type { Outcome } from "./verb.ts";

/** Who is to be rotated, and how. */
export interface Wish {
  readonly selection: Selection;
  readonly terms: CampaignTerms;
  readonly replacePending: boolean;
  readonly means: Means;
}

/** A campaign as somebody orders it, in flags or by a runbook. */
export interface Order extends Wish {
  /** Seconds to wait until every new secret has been used; undefined: not at all. */
  readonly waitProof: number | undefined;
  readonly gate: GateWords;
  readonly receipt: ReceiptWords | null;
}

/** Begins a campaign and runs it; where the environment is protected, asks for it. */
export async function rotateMany(context: VerbContext, order: Order): Promise<Outcome<CampaignDocument>> {
  const db = await context.database();
  const { terms, waitProof } = order;
  const means = order.receipt === null ? order.means : withReceipt(order.means);
  const environment = await requireEnvironment(db);
  requireLasting(terms, environment.protected);
  if (context.dryRun) return { document: await foretell(context, db, order) };
  const chosen = await choose(context, db, order);
  if (environment.protected) {
    const { requestMany } = await import("./campaign-request.ts");
    return requestMany(context, db, { ...order, means }, chosen, environment);
  }
  const writeReceipt = await openReceipt(context, order.receipt);
  const many = `rotate ${chosen.targets.length}`;
  await context.confirm({
    action: terms.compromised ? `${many}, and end every old secret at once` : many,
    name: many,
  });
  const campaign = await beginCampaign(db, requestFrom(context), terms, chosen);
  context.notice(`${campaign.id} rotates ${campaign.targets}.`);
  return goOn(context, db, campaign, { means, waitProof, writeReceipt });
}

/** Who would be rotated, and into which files; where the environment is protected, each rotation is tried. Nothing is changed. */
export async function foretell(context: VerbContext, db: Database, wish: Wish): Promise<CampaignDocument> {
  const { terms } = wish;
  const chosen = await choose(context, db, wish);
  const request = { ...requestFrom(context), dryRun: true };
  const environment = await requireEnvironment(db);
  if (environment.protected) {
    const { rehearseCampaign } = await import("../operations/campaign/request.ts");
    await rehearseCampaign(db, request, terms, chosen, environment);
  }
  const { terms: _, ...campaign } = await beginCampaign(db, request, terms, chosen);
  // Rolled back, it is no campaign that anybody could ask for.
  return {
    campaign: { ...campaign, id: null, status: "planned" },
    results: chosen.targets.map((target) => untouched(target, terms)),
  };
}

async function choose(
  context: VerbContext,
  db: Database,
  { selection, terms, replacePending, means }: Wish,
): Promise<ChosenTargets> {
  const { name, compromised } = terms;
  const places = means.places;
  const chosen = await chooseTargets(db, selection, { name, replacePending, compromised, places });
  const { without } = chosen;
  for (const slug of without.slice(0, 10)) {
    context.notice(`${slug} holds no current credential named ${name}, and is left out.`);
  }
  if (without.length > 10) context.notice(`${without.length - 10} more are left out for the same reason.`);
  return chosen;
}

function untouched(
  { slug, replaces, place }: Chosen,
  terms: CampaignTerms,
): CampaignDocument["results"][number] {
  return {
    ...{ identity: slug, replaces, credential: null, tokenFile: fileOf(terms, place) },
    ...{ state: "open", proven: false, problem: null },
  };
}

/** Where a secret ends up; one that waits for a command is nobody's to read. */
function fileOf({ delivery }: Pick<CampaignTerms, "delivery">, place: string | null): string | null {
  return delivery === "files" ? place : null;
}

/** How whoever asked for a receipt has to go on to get it. */
function withReceipt(means: Means): Means {
  return { ...means, again: `${means.again} --receipt FILE --key KEY` };
}

/** Runs what is left of a campaign. */
export async function goOn(
  context: VerbContext,
  db: Database,
  campaign: Campaign,
  {
    means,
    waitProof,
    writeReceipt,
  }: Pick<Order, "means" | "waitProof"> & { readonly writeReceipt: WriteReceipt | null },
): Promise<Outcome<CampaignDocument>> {
  const { id } = campaign;
  const { delivery, health, again } = means;
  let signal: Signal | null = null;
  endInOrder((by) => {
    signal = by;
  });
  const stopping = (): boolean => signal !== null;
  context.standBy(`what was rotated by then stays so; the rest: midctl runbook resume ${id} ${again}`);
  const trust = () => requireTrustRoot(context);
  let ended = await runCampaign(
    db,
    requestFrom(context),
    id,
    { delivery, trust, again },
    {
      health,
      onProgress: ({ delivered, failed, targets }) =>
        context.progress({ campaign: id, done: delivered, failed, of: targets }),
      stopping,
    },
  );
  if (waitProof !== undefined && ended.status === "done") {
    ended = await awaitProof(db, id, waitProof, stopping);
    if (ended.proven < ended.targets)
      context.notice(`${ended.targets - ended.proven} have not used their new secret yet.`);
  }
  if (signal !== null) throw interrupted(ended, signal, again);
  if (ended.status === "stopped") {
    context.notice(`${id} stopped: ${ended.problem}. ${await tellNext(db, ended, again)}`);
  }
  const short = ended.status !== "done" || (waitProof !== undefined && ended.proven < ended.targets);
  await writeReceipt?.(db, ended);
  const document = await describe(db, ended);
  return short ? { document, exit: 8 } : { document };
}

async function tellNext(db: Database, { id, approval }: Campaign, again: string): Promise<string> {
  if (approval !== null) {
    const { isOver } = await import("../operations/campaign/issue-approved.ts");
    if (await isOver(db, { id, approval }))
      return `${approval} is over, so nobody can go on: midctl runbook status ${id} shows who has not moved, for another campaign.`;
  }
  return `midctl runbook resume ${id} ${again} goes on.`;
}

/** Sees beforehand that a receipt can be written. @throws MidctlError as `prepareReceipt` */
export async function openReceipt(
  context: VerbContext,
  words: ReceiptWords | null,
): Promise<WriteReceipt | null> {
  if (words === null) return null;
  const { prepareReceipt } = await import("./campaign-receipt.ts");
  return prepareReceipt(context, words);
}

function interrupted({ id, delivered, targets }: Campaign, signal: Signal, again: string): MidctlError {
  return new MidctlError(
    "interrupted",
    `interrupted; ${delivered} of ${targets} have their new secret, and that stands`,
    {
      hint: `midctl runbook resume ${id} ${again} goes on; midctl runbook status ${id} shows each`,
      details: { signal, campaign: id },
    },
  );
}

/** A campaign with all its targets. */
export async function describe(db: Database, { terms, ...campaign }: Campaign): Promise<CampaignDocument> {
  const targets = await readAllTargets(db, campaign.id);
  const read = readTerms(terms);
  return {
    campaign,
    results: targets.map(({ slug, replaces, successor, place, state, proven, problem }) => ({
      ...{ identity: slug, replaces, credential: successor },
      tokenFile: read === null ? place : fileOf(read, place),
      ...{ state, proven, problem },
    })),
  };
}
