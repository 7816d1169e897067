import { chmodSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import type { TestServer } from "../../support/launcher.ts";
import { findTestBinaries, HASTY, launch, makeScratch } from "../../support/launcher.ts";
import { openTrustDesk } from "../../support/trust.ts";
import { createRandom } from "../random.ts";
import { compareVerdicts } from "./agreement.ts";
import { killAppliers, raceAppliers } from "./appliers.ts";
import { flipBits } from "./bits.ts";
import { Court, keepsTerms, Refusal, type Temper } from "./court.ts";
import { FORGERIES, type Forged, type Forgery } from "./forgeries.ts";

export interface CampaignOptions {
  /** Forgeries; races and kills are in proportion: 200 and 30 for 1,000. */
  readonly count: number;
  readonly seed: number;
  readonly temper: Temper;
  /** The launcher, built. */
  readonly program: string;
}

/** `--count N --seed S [--verifier gullible|surly]`: two that must fail, one believing the database, one nobody. */
export function parseOptions(argv: readonly string[]): Omit<CampaignOptions, "program"> {
  const { values } = parseArgs({
    args: [...argv],
    options: { count: { type: "string" }, seed: { type: "string" }, verifier: { type: "string" } },
  });
  const temper = values.verifier ?? "honest";
  if (temper !== "honest" && temper !== "gullible" && temper !== "surly") {
    throw new Error(`--verifier is gullible or surly, not ${temper}`);
  }
  const [count, seed] = (["count", "seed"] as const).map((flag) => {
    const text = values[flag] ?? { count: "1000", seed: "1" }[flag];
    if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`--${flag} takes a whole number, not ${text}`);
    return Number(text);
  }) as [number, number];
  return { count, seed, temper };
}

/** Between so many forgeries an honest token is presented. */
const CONTROL_EVERY = 5;
/** What could not be, line by line. */
type Violations = string[];

/** Plays the campaign, says what it found, and returns 0, or 1 where anything was found that must not be. */
export async function runCampaign(options: CampaignOptions): Promise<number> {
  const { count, seed, temper } = options;
  const began = performance.now();
  const scratch = makeScratch();
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("there is no PostgreSQL");
  const { server, stop } = await launch(candidate, scratch, HASTY);
  const desk = openTrustDesk(["alice", "bob", "carol"]);
  const violations: Violations = [];
  const courts: Court[] = [];
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  try {
    for (const quorum of [1, 2] as const) {
      courts.push(await Court.open(server as TestServer, desk, scratch, quorum, temper));
    }
    const [first] = courts;
    if (first === undefined) throw new Error("there is no court");
    await forge(courts, options, violations, say);
    if (temper === "honest") {
      say(await flipBits(first, violations));
      say(compareVerdicts(violations));
      const random = createRandom(seed, 1_000_000);
      say(await raceAppliers(first, Math.max(1, Math.round(count / 5)), violations));
      const kills = Math.max(1, Math.round((count * 3) / 100));
      say(await killAppliers(first, kills, { program: options.program, scratch, random }, violations));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    violations.push(error.message);
  } finally {
    for (const court of courts) await court.close();
    desk.dispose();
    await stop();
    chmodSync(scratch, 0o700);
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const violation of violations.slice(0, 20)) say(`  ${violation}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  say(
    `campaign:forgery --count ${count} --seed ${seed}: ${seconds} s, ${violations.length} violations. ${violations.length === 0 ? "PASSED" : "FAILED"}`,
  );
  return violations.length === 0 ? 0 : 1;
}

async function forge(
  courts: readonly Court[],
  { count, seed }: CampaignOptions,
  violations: Violations,
  say: (text: string) => void,
): Promise<void> {
  const tally = new Map<string, { tried: number; accepted: number }>();
  let controls = 0;
  for (let at = 0; at < count; at++) {
    const random = createRandom(seed, at);
    const [court, other] = (at % 2 === 0 ? courts : [...courts].reverse()) as [Court, Court];
    // Each class as often as the others, and in either court.
    const forgery = FORGERIES[Math.floor(at / 2) % FORGERIES.length] as Forgery;
    const row = tally.get(forgery.name) ?? { tried: 0, accepted: 0 };
    tally.set(forgery.name, row);
    const forged = await forgery.make(court, random, other);
    row.tried++;
    const found = await present(court, forged);
    if (found !== null) {
      row.accepted++;
      violations.push(`${court.name}, ${at}: ${forgery.name}: ${found}`);
    }
    await forged.undo?.();
    if (at % CONTROL_EVERY === 0) {
      for (const each of [court, other]) {
        controls++;
        await each.requireAccepted(each.honest(at / CONTROL_EVERY));
      }
    }
  }
  const width = Math.max(...[...tally.keys()].map(({ length }) => length));
  say(`${"forgery".padEnd(width)}  tried  accepted`);
  for (const [name, { tried, accepted }] of tally) {
    say(`${name.padEnd(width)}  ${String(tried).padStart(5)}  ${String(accepted).padStart(8)}`);
  }
  const all = [...tally.values()].reduce((sum, { accepted }) => sum + accepted, 0);
  say(`${"all".padEnd(width)}  ${String(count).padStart(5)}  ${String(all).padStart(8)}`);
  say(`honest controls accepted in between: ${controls}`);
}

/** What a verifier did that it must not, or null. */
async function present(court: Court, { token, holder, strict = false }: Forged): Promise<string | null> {
  const bare = await court.unchecked.authenticate(token);
  await court.unchecked.settled();
  if (!bare.ok) return `it is no forgery: without a trust root it is ${bare.code}`;
  const decisions = await court.decide(token);
  for (const [which, decision] of decisions.entries()) {
    const verifier = which === 0 ? "a fresh verifier" : "the warm verifier";
    if (!decision.ok) {
      if (decision.code === "unapproved") continue;
      return `${verifier} refuses it as ${decision.code}, not as unapproved`;
    }
    if (holder === null) return `${verifier} accepted it`;
    if (strict && which === 0) return `${verifier} accepted a row that is not as signed`;
    if (!keepsTerms(decision, holder)) return `${verifier} answered with more than was signed`;
  }
  if (holder === null) return null;
  const wide = await court.warm.authenticate(token, { scope: "deploy:web" });
  return wide.ok ? "the warm verifier granted a scope that was not signed" : null;
}
