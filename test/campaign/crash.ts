import { parseArgs } from "node:util";
import { Campaign } from "./campaign.ts";

export interface CampaignOptions {
  /** Kills of the command that have to hit. */
  readonly count: number;
  readonly seed: number;
  /** Kills of the server, spread among the others. */
  readonly serverKills: number;
  /** The launcher, built. */
  readonly program: string;
}

/** `--count N --seed S --server-kills M`; one server kill to ten of the command unless told. */
export function parseOptions(argv: readonly string[]): Omit<CampaignOptions, "program"> {
  const { values } = parseArgs({
    args: [...argv],
    options: { count: { type: "string" }, seed: { type: "string" }, "server-kills": { type: "string" } },
  });
  const count = readCount("--count", values.count ?? "50");
  return {
    count,
    seed: readCount("--seed", values.seed ?? "1"),
    serverKills: readCount("--server-kills", values["server-kills"] ?? String(Math.floor(count / 10))),
  };
}

function readCount(flag: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new Error(`${flag} takes a whole number, not ${text}`);
  return Number(text);
}

/** They end it in order: its server would otherwise outlive it. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Plays the campaign, says what it found, and returns 0, or 1 where anything was found that must not be. */
export async function runCampaign(
  options: CampaignOptions,
  say: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
): Promise<number> {
  const began = performance.now();
  const campaign = new Campaign(options, say);
  let rounds = 0;
  const interrupt = (): void => campaign.interrupt();
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    await campaign.warmUp();
    rounds = await campaign.play();
    await campaign.judgeAll(rounds);
  } finally {
    await campaign.leave();
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
  report(campaign, options, rounds, (performance.now() - began) / 1000, say);
  return campaign.tally.violations.length === 0 ? 0 : 1;
}

function report(
  { tally, fleet, entries, directory }: Campaign,
  { seed, count, serverKills }: CampaignOptions,
  rounds: number,
  seconds: number,
  say: (line: string) => void,
): void {
  const { kills, server } = tally;
  const spread = Object.entries(tally.moments)
    .map(([moment, { before, after }]) => `${moment} ${before}+${after}`)
    .join(", ");
  const verbs = Object.entries(tally.verbs)
    .sort(([, a], [, b]) => b - a)
    .map(([verb, times]) => `${verb} ${times}`)
    .join(", ");
  const credentials = [...fleet.known.values()].flatMap((state) => state.credentials);
  const strangers = credentials.filter((credential) => !fleet.holds(credential)).length;
  for (const line of [
    `campaign:crash --count ${count} --seed ${seed} --server-kills ${serverKills}: ${rounds} rounds in ${seconds.toFixed(0)} s`,
    `command kills         ${kills.before + kills.after}: ${kills.before} before the commit, ${kills.after} after it; ${kills.missed} more came too late`,
    `  before+after        ${spread}`,
    `  commands            ${verbs}; ${tally.cold} with the server down at their start`,
    `server kills          ${server.whole + server.postmaster}: ${server.whole} with all its processes, ${server.postmaster} of the postmaster alone`,
    `  commands then       ${server.acknowledged} acknowledged, ${server.refused} refused, ${server.unknown} said that they do not know`,
    `acknowledged writes   ${tally.acknowledged}, lost ${tally.count("lost")}`,
    `credentials           ${credentials.length} of ${fleet.known.size} identities; usable and unreceived ${tally.count("unreceived")}; inert and unreceived ${strangers}`,
    `half-made             ${tally.count("half-made")}; ${entries} log entries checked`,
    `retries               ${tally.retries.tried}, converged ${tally.retries.converged}`,
    `interrupted rotations ${tally.lostRotations.tried}, old credential good ${tally.lostRotations.working}`,
    `unforeseen exits      ${tally.count("exit")}`,
  ]) {
    say(line);
  }
  const [first] = tally.violations;
  say(
    first === undefined
      ? "PASSED"
      : `FAILED: ${tally.violations.length} violations; the first in round ${first.round}. See ${directory}, or replay: --count ${first.round} --seed ${seed}`,
  );
}
