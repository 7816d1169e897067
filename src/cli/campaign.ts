/** Rotating many: how it begins, runs and goes on, and what it comes to. */

import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { type PlaceTemplate, parsePlaceTemplate } from "../domain/place-template.ts";
import { quote } from "../domain/visible.ts";
import { beginCampaign, type ChosenTargets, chooseTargets } from "../operations/campaign/begin.ts";
import { awaitProof, readAllTargets, requireTerms } from "../operations/campaign/read.ts";
import { type Delivery, runCampaign } from "../operations/campaign/run.ts";
import type { CampaignTerms } from "../operations/campaign/terms.ts";
import type { Selection } from "../operations/selection.ts";
import type { Campaign } from "../repository/campaign.ts";
import { deliverToCommand, deliverToFiles } from "./campaign-delivery.ts";
import type { CampaignDocument } from "./campaign-document.ts";
import { type DeliveryWords, requireDelivery } from "./campaign-options.ts";
import { runCommand } from "./command.ts";
import type { VerbContext } from "./context.ts";
import { endInOrder, type Signal } from "./interruption.ts";
import { splitCommand } from "./password-command.ts";
import { requestFrom } from "./request.ts";
import type { Outcome } from "./verb.ts";

/** Seconds. */
const DEFAULT_TIMEOUT = 30;

/** Begins a campaign and runs it. */
export async function rotateMany(
  context: VerbContext,
  selection: Selection,
  terms: CampaignTerms,
  words: DeliveryWords & { readonly waitProof: number | undefined },
): Promise<Outcome<CampaignDocument>> {
  const db = await context.database();
  const means = readMeans(words, terms.name);
  const places = words.tokenFileDir === undefined ? null : readTemplate(words.tokenFileDir);
  const chosen = await chooseTargets(db, terms.name, selection, places);
  const { targets, without } = chosen;
  for (const slug of without.slice(0, 10)) {
    context.notice(`${slug} holds no current credential named ${terms.name}, and is left out.`);
  }
  if (without.length > 10) context.notice(`${without.length - 10} more are left out for the same reason.`);
  await context.confirm({ action: `rotate ${targets.length}`, name: `rotate ${targets.length}` });
  const campaign = await beginCampaign(db, requestFrom(context), terms, chosen);
  if (context.dryRun) return { document: foretell(campaign, chosen) };
  context.notice(`${campaign.id} rotates ${campaign.targets}.`);
  return goOn(context, db, campaign, means, words.waitProof);
}

/** How secrets get where they are used, and what is asked between two batches: by the words of whoever runs it. */
export interface Means {
  readonly delivery: Delivery;
  /** Null where all is well, else what is not. */
  readonly health: () => Promise<string | null>;
  /** What has to be said again to go on. */
  readonly again: string;
}

/** @throws MidctlError `usage` unless they say one way of delivery, in words that can be taken apart */
export function readMeans(words: DeliveryWords, name: string): Means {
  requireDelivery(words);
  const { tokenFileDir, deliverExec, deliverTimeout = DEFAULT_TIMEOUT } = words;
  const { health, healthTimeout = DEFAULT_TIMEOUT } = words;
  const check = health === undefined ? null : splitCommand(health, "--health");
  const delivery =
    deliverExec === undefined
      ? deliverToFiles(readTemplate(tokenFileDir ?? "").root)
      : deliverToCommand(deliverExec, name, deliverTimeout * 1000);
  return {
    delivery,
    health: async () => (check === null ? null : checkHealth(check, healthTimeout)),
    again: `${deliverExec === undefined ? "--token-file-dir DIR" : "--deliver-exec CMD"}${check === null ? "" : " --health CMD"}`,
  };
}

/** As `readMeans`, for what was begun before: how it went on then is how it goes on. */
export function readMeansAgain(words: DeliveryWords, campaign: Campaign): Means {
  const { name, delivery, checked } = requireTerms(campaign);
  const means = readMeans(words, name);
  if ((words.deliverExec === undefined) !== (delivery === "files")) {
    throw new MidctlError(
      "usage",
      `the secrets of ${campaign.id} go ${delivery === "files" ? "to files" : "to a command"}; nothing was changed`,
      {
        hint: delivery === "files" ? "--token-file-dir DIR" : "--deliver-exec CMD",
      },
    );
  }
  if (!checked || words.health !== undefined) return means;
  throw new MidctlError("usage", `${campaign.id} is checked between its batches; nothing was changed`, {
    hint: "--health CMD; --health true where nothing is to be asked any more",
  });
}

/** What a dry run has to say: who would be rotated, and into which files. */
function foretell({ terms: _, ...campaign }: Campaign, { targets }: ChosenTargets): CampaignDocument {
  const nothing = { credential: null, state: "open", proven: false, problem: null } as const;
  return {
    campaign,
    results: targets.map(({ slug, replaces, place }) => ({
      ...{ identity: slug, replaces, tokenFile: place, ...nothing },
    })),
  };
}

/** Runs what is left of a campaign. */
export async function goOn(
  context: VerbContext,
  db: Database,
  campaign: Campaign,
  { delivery, health, again }: Means,
  waitProof: number | undefined,
): Promise<Outcome<CampaignDocument>> {
  const { id } = campaign;
  let signal: Signal | null = null;
  endInOrder((by) => {
    signal = by;
  });
  const stopping = (): boolean => signal !== null;
  context.standBy(`what was rotated by then stays so; the rest: midctl runbook resume ${id} ${again}`);
  let ended = await runCampaign(db, requestFrom(context), id, delivery, {
    health,
    onProgress: ({ delivered, failed, targets }) =>
      context.notice(
        `${delivered} of ${targets} have their new secret${failed === 0 ? "" : `, ${failed} failed`}.`,
      ),
    stopping,
  });
  if (waitProof !== undefined && ended.status === "done") {
    ended = await awaitProof(db, id, waitProof, stopping);
    if (ended.proven < ended.targets)
      context.notice(`${ended.targets - ended.proven} have not used their new secret yet.`);
  }
  if (signal !== null) throw interrupted(ended, signal, again);
  if (ended.status === "stopped") {
    context.notice(`${id} stopped: ${ended.problem}. midctl runbook resume ${id} ${again} goes on.`);
  }
  const short = ended.status !== "done" || (waitProof !== undefined && ended.proven < ended.targets);
  const document = await describe(db, ended);
  return short ? { document, exit: 8 } : { document };
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
export async function describe(db: Database, { terms: _, ...campaign }: Campaign): Promise<CampaignDocument> {
  const targets = await readAllTargets(db, campaign.id);
  return {
    campaign,
    results: targets.map(({ slug, replaces, successor, place, state, proven, problem }) => ({
      ...{ identity: slug, replaces, credential: successor, tokenFile: place, state, proven, problem },
    })),
  };
}

async function checkHealth(command: readonly [string, ...string[]], seconds: number): Promise<string | null> {
  const { problem } = await runCommand(command, { input: null, patience: seconds * 1000 });
  return problem === null ? null : `the health check ${problem}`;
}

/** Its directory absolute, so that it means the same to whoever goes on from another one. */
function readTemplate(text: string): PlaceTemplate {
  const template = parsePlaceTemplate(text);
  const root = resolve(template.root);
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === true) return { ...template, root };
  throw new MidctlError("usage", `the directory ${quote(root)} does not exist; nothing was changed`, {
    hint: `make it first: mkdir -m 700 ${quote(root)}`,
  });
}
