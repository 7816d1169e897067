import { parseArgs } from "node:util";
import { Campaign, type CampaignOptions } from "./campaign.ts";
import { describe } from "./report.ts";

/** Shortest campaign in seconds, unless told, and the pace of longer ones: authentications per second. */
const SHORTEST = 25;
const PACE = 4_000;

/** `--count N --seed S [--seconds T] [--broken-cache]` */
export function parseOptions(
  argv: readonly string[],
): Pick<CampaignOptions, "count" | "seed" | "seconds" | "brokenCache"> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      count: { type: "string" },
      seed: { type: "string" },
      seconds: { type: "string" },
      "broken-cache": { type: "boolean" },
    },
  });
  const count = readCount("--count", values.count ?? "20000");
  return {
    count,
    seed: readCount("--seed", values.seed ?? "1"),
    seconds: readCount("--seconds", values.seconds ?? String(Math.max(SHORTEST, Math.ceil(count / PACE)))),
    brokenCache: values["broken-cache"] ?? false,
  };
}

function readCount(flag: string, text: string): number {
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new Error(`${flag} takes a whole number, not ${text}`);
  return Number(text);
}

/** They end it in order: its server and its stopped verifiers would otherwise outlive it. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Plays the campaign, says what it found, and returns 0, or 1 where anything was found that must not be. */
export async function runCampaign(options: CampaignOptions): Promise<number> {
  const began = performance.now();
  const campaign = await Campaign.open(options);
  const interrupt = (): void => campaign.interrupt();
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    await campaign.play();
    for (const line of describe(campaign, (performance.now() - began) / 1000)) {
      process.stdout.write(`${line}\n`);
    }
  } finally {
    await campaign.leave();
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
  return campaign.violations.length === 0 ? 0 : 1;
}
