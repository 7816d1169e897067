/** How a campaign's secrets get where they are used, and what is asked between two batches: by the words of whoever runs it. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { type PlaceTemplate, parsePlaceTemplate } from "../domain/place-template.ts";
import { quote } from "../domain/visible.ts";
import type { Delivery } from "../operations/campaign/delivery.ts";
import { requireTerms } from "../operations/campaign/read.ts";
import type { Campaign } from "../repository/campaign.ts";
import { deliverStaged, deliverToCommand, deliverToFiles } from "./campaign-delivery.ts";
import { type DeliveryWords, deliveryOf, requireDelivery } from "./campaign-options.ts";
import { runCommand } from "./command.ts";
import { splitCommand } from "./password-command.ts";

/** Seconds. */
const DEFAULT_TIMEOUT = 30;

export interface Means {
  readonly delivery: Delivery;
  /** Where each secret's file is made from; null where none is kept. */
  readonly places: PlaceTemplate | null;
  /** Null where all is well, else what is not. */
  readonly health: () => Promise<string | null>;
  /** What has to be said again to go on. */
  readonly again: string;
}

/** @throws MidctlError `usage` unless they say one way of delivery, in words that can be taken apart */
export function readMeans(words: DeliveryWords, name: string): Means {
  requireDelivery(words);
  const { tokenFileDir, deliverExec, stageDir, deliverTimeout = DEFAULT_TIMEOUT } = words;
  const { health, healthTimeout = DEFAULT_TIMEOUT } = words;
  const check = health === undefined ? null : splitCommand(health, "--health");
  const kept = tokenFileDir ?? stageDir;
  const places = kept === undefined ? null : readTemplate(kept);
  return {
    delivery: deliveryBy({ deliverExec, name, patience: deliverTimeout * 1000 }, places),
    places,
    health: async () => (check === null ? null : checkHealth(check, healthTimeout)),
    again: [
      deliverExec === undefined ? "--token-file-dir DIR" : "--deliver-exec CMD",
      ...(stageDir === undefined ? [] : ["--stage-dir DIR"]),
      ...(check === null ? [] : ["--health CMD"]),
    ].join(" "),
  };
}

/** As `readMeans`, for what was begun before: how it went on then is how it goes on. */
export function readMeansAgain(words: DeliveryWords, campaign: Campaign): Means {
  const { name, delivery, checked } = requireTerms(campaign);
  const means = readMeans(words, name);
  if (deliveryOf(words) !== delivery) {
    const [how, hint] = {
      files: ["to files", "--token-file-dir DIR"],
      command: ["to a command", "--deliver-exec CMD"],
      staged: ["to a command, and wait in a directory", "--deliver-exec CMD --stage-dir DIR"],
    }[delivery] as [string, string];
    throw new MidctlError("usage", `the secrets of ${campaign.id} go ${how}; nothing was changed`, { hint });
  }
  if (!checked || words.health !== undefined) return means;
  throw new MidctlError("usage", `${campaign.id} is checked between its batches; nothing was changed`, {
    hint: "--health CMD; --health true where nothing is to be asked any more",
  });
}

function deliveryBy(
  { deliverExec, ...taking }: { deliverExec: string | undefined; name: string; patience: number },
  places: PlaceTemplate | null,
): Delivery {
  if (deliverExec === undefined) return deliverToFiles(places?.root ?? "");
  const command = { ...taking, command: deliverExec };
  return places === null ? deliverToCommand(command) : deliverStaged(command, places.root);
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
