/** What `credential rotate` takes where it is for many. */

import { parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseScopes } from "../domain/scope.ts";
import type { CampaignTerms } from "../operations/campaign/terms.ts";
import { DEFAULT_GRACE } from "../operations/credential-rotate.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE } from "../operations/issuance.ts";
import { duration } from "./options.ts";
import { readWith } from "./parse.ts";

const DEFAULT_BATCH = 50;
const count = (atLeast: number) =>
  readWith((text) => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : -1;
    if (value >= atLeast) return value;
    throw new MidctlError("usage", `a whole number from ${atLeast} on`);
  });

/** How secrets are delivered and health is asked for: said again by whoever goes on. */
export const deliveryOptions = {
  tokenFileDir: {
    value: "DIR",
    summary:
      "of many: each secret goes into DIR/SLUG.token, in place of the old one; or a path with {slug}, {name}, {provider}, {thread}, {label.KEY}",
  },
  deliverExec: {
    value: "CMD",
    summary:
      "of many: run for each, the secret on its standard input; {slug}, {credential} and {name} in its words are filled in; without a shell",
  },
  deliverTimeout: { value: "30s", summary: "of many: for each such command; default: 30s", schema: duration },
  stageDir: {
    value: "DIR",
    summary:
      "of many, with --deliver-exec: each secret waits in a file here until the command took it; needed where protected",
  },
  health: { value: "CMD", summary: "of many: run between two batches; anything but exit 0 stops" },
  healthTimeout: { value: "30s", summary: "of many: for the health check; default: 30s", schema: duration },
} as const;

export const campaignOptions = {
  ...deliveryOptions,
  batch: { value: "N", summary: "of many: so many between two health checks; default: 50", schema: count(1) },
  batchPause: {
    value: "10s",
    summary: "of many: between two batches; default: none",
    schema: readWith((text) => parseDuration(text, { atLeast: 0 })),
  },
  maxFailures: {
    value: "N",
    summary: "of many: stop when more than so many failed; default: 0",
    schema: count(0),
  },
  waitProof: {
    value: "2h",
    summary: "of many: wait so long until every new secret has been used; exit 8 names who has not",
    schema: duration,
  },
} as const;

export interface DeliveryWords {
  readonly tokenFileDir: string | undefined;
  readonly deliverExec: string | undefined;
  readonly deliverTimeout: number | undefined;
  readonly stageDir: string | undefined;
  readonly health: string | undefined;
  readonly healthTimeout: number | undefined;
}

export interface CampaignWords extends DeliveryWords {
  readonly name: string;
  readonly scope: readonly string[];
  readonly expires: number | "never" | undefined;
  readonly activateWithin: number | undefined;
  readonly grace: number | undefined;
  readonly compromised: boolean;
  readonly replacePending: boolean;
  readonly batch: number | undefined;
  readonly batchPause: number | undefined;
  readonly maxFailures: number | undefined;
  readonly waitProof: number | undefined;
}

/** What belongs to one rotation and to no campaign. */
interface WordsOfOne {
  readonly tokenFile: string | undefined;
  readonly commitment: string | undefined;
  readonly expectCurrent: string | undefined;
}

/** Whether anything was said that only a campaign has. */
export function saysMany(words: CampaignWords): boolean {
  return Object.keys(campaignOptions).some((key) => words[key as keyof typeof campaignOptions] !== undefined);
}

/** @throws MidctlError `usage` unless exactly one way of delivery is said */
export function requireDelivery({ tokenFileDir, deliverExec, stageDir }: DeliveryWords): void {
  if (stageDir !== undefined && deliverExec === undefined) {
    throw new MidctlError("usage", "--stage-dir goes with --deliver-exec; nothing was changed", {
      hint: "--token-file-dir DIR keeps each secret where it is used",
    });
  }
  if ((tokenFileDir === undefined) !== (deliverExec === undefined)) return;
  throw new MidctlError(
    "usage",
    tokenFileDir === undefined
      ? "nothing says where the secrets of many go; nothing was changed"
      : "--token-file-dir and --deliver-exec are two ways of delivery; nothing was changed",
    { hint: "--token-file-dir DIR, or --deliver-exec CMD" },
  );
}

/** @throws MidctlError `usage` for what does not go with a campaign, and where nothing says how secrets are delivered */
export function campaignTermsOf(words: CampaignWords & WordsOfOne, reason: string | null): CampaignTerms {
  const single = (
    [
      ["--token-file", words.tokenFile],
      ["--commitment", words.commitment],
      ["--expect-current", words.expectCurrent],
    ] as const
  ).find(([, value]) => value !== undefined);
  if (single !== undefined) {
    throw new MidctlError(
      "usage",
      `${single[0]} is for one identity, and this is for many; nothing was changed`,
    );
  }
  requireDelivery(words);
  return {
    name: words.name,
    scopes: words.scope.length === 0 ? null : parseScopes(words.scope),
    expiresIn: words.expires ?? DEFAULT_LIFE,
    activateWithin: words.activateWithin ?? DEFAULT_ACTIVATION,
    grace: words.compromised ? 0 : (words.grace ?? DEFAULT_GRACE),
    compromised: words.compromised,
    delivery: deliveryOf(words),
    batch: words.batch ?? DEFAULT_BATCH,
    pause: words.batchPause ?? 0,
    checked: words.health !== undefined,
    maxFailures: words.maxFailures ?? 0,
    reason,
    runbook: null,
  };
}

export function deliveryOf({ deliverExec, stageDir }: DeliveryWords): CampaignTerms["delivery"] {
  if (deliverExec === undefined) return "files";
  return stageDir === undefined ? "command" : "staged";
}

/**
 * What ends the old ones at once, or waits for an approval, needs secrets that outlast a command which does not take them.
 * @throws MidctlError `usage`
 */
export function requireLasting({ delivery, compromised }: CampaignTerms, isProtected: boolean): void {
  if (delivery !== "command" || !(compromised || isProtected)) return;
  throw new MidctlError(
    "usage",
    compromised
      ? "--compromised ends the old secrets at once, so the new ones must outlast a command that fails; nothing was changed"
      : "where approvals are needed each secret is made before it is approved, and has to wait; nothing was changed",
    { hint: "--stage-dir DIR beside --deliver-exec, or --token-file-dir DIR" },
  );
}
