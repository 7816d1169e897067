import { chmodSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { migrate } from "../../../src/db/migrate.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { findTestBinaries, HASTY, launch, makeScratch } from "../../support/launcher.ts";
import { createRandom } from "../random.ts";
import { drawTampering } from "./tamperings.ts";
import { faultOf, prepare, tryTampering } from "./trial.ts";

export interface CampaignOptions {
  /** Tamperings, each undone before the next. */
  readonly count: number;
  readonly seed: number;
  /** Entries of the log. */
  readonly size: number;
}

/** `--count N --seed S --size ENTRIES` */
export function parseOptions(argv: readonly string[]): CampaignOptions {
  const defaults = { count: "1000", seed: "1", size: "500" };
  const { values } = parseArgs({
    args: [...argv],
    options: { count: { type: "string" }, seed: { type: "string" }, size: { type: "string" } },
  });
  const [count, seed, size] = (["count", "seed", "size"] as const).map((flag) => {
    const text = values[flag] ?? defaults[flag];
    if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`--${flag} takes a whole number, not ${text}`);
    return Number(text);
  }) as [number, number, number];
  return { count, seed, size };
}

/** Plays the campaign, says what it found, and returns 0, or 1 where anything was not named as what it was. */
export async function runCampaign({ count, seed, size }: CampaignOptions): Promise<number> {
  const began = performance.now();
  const scratch = makeScratch();
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("there is no PostgreSQL");
  const { server, stop } = await launch(candidate, scratch, HASTY);
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const { socketDir, port, user } = server;
  const db = openPostgres({ socketDir, port, user, database: "postgres" });
  const faults: string[] = [];
  const ways = new Map<string, number>();
  try {
    await migrate(db);
    const scene = await prepare(db, size);
    for (let round = 0; round < count; round++) {
      const tampering = drawTampering(createRandom(seed, round), scene);
      ways.set(tampering.name, (ways.get(tampering.name) ?? 0) + 1);
      const fault = faultOf(tampering, await tryTampering(db, scene, tampering));
      if (fault !== null) faults.push(`round ${round}: ${fault}`);
    }
  } finally {
    await db.close();
    await stop();
    chmodSync(scratch, 0o700);
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const [name, times] of [...ways].sort()) say(`${String(times).padStart(5)}  ${name}`);
  for (const fault of faults.slice(0, 20)) say(`  ${fault}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  say(
    `campaign:tamper --count ${count} --seed ${seed} --size ${size}: ${seconds} s, ${count - faults.length} of ${count} named. ${faults.length === 0 ? "PASSED" : "FAILED"}`,
  );
  return faults.length === 0 ? 0 : 1;
}
