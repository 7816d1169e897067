import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openPostgres } from "../../../src/db/postgres.ts";
import { initDatabase } from "../../../src/operations/db-init.ts";
import { findTestBinaries, HASTY, type Launched, launch, makeScratch } from "../../support/launcher.ts";
import { ALICE } from "../../verifier/scene.ts";
import { provisionAtOnce } from "./storm.ts";

interface CampaignOptions {
  /** Threads that every host provisions. */
  readonly threads: number;
  /** How many at once. */
  readonly hosts: number;
  readonly seed: number;
  /** The launcher, built. */
  readonly program: string;
}

/** `--threads N --hosts M --seed S` */
export function parseOptions(argv: readonly string[]): Omit<CampaignOptions, "program"> {
  const { values } = parseArgs({
    args: [...argv],
    options: { threads: { type: "string" }, hosts: { type: "string" }, seed: { type: "string" } },
  });
  const number = (flag: "threads" | "hosts" | "seed", otherwise: string): number => {
    const text = values[flag] ?? otherwise;
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`--${flag} takes a whole number, not ${text}`);
    return Number(text);
  };
  return { threads: number("threads", "500"), hosts: number("hosts", "8"), seed: number("seed", "1") };
}

/** Provisions the same threads from many hosts at once: each with a directory of its own, then all with one. */
export async function runCampaign({ threads, hosts, seed, program }: CampaignOptions): Promise<number> {
  const began = performance.now();
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const scratch = makeScratch();
  const violations: string[] = [];
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("there is no PostgreSQL");
  const { server, stop } = await launch(candidate, scratch, HASTY);
  try {
    for (const shared of [false, true]) {
      const started = performance.now();
      const url = await makeDatabase(server, shared ? "shared" : "own");
      const db = openPostgres({ url }, { applicationName: "campaign" });
      await initDatabase(db, ALICE, { name: "fleet", live: false, protected: false });
      const home = join(scratch, "home");
      mkdirSync(home, { recursive: true, mode: 0o700 });
      const env = {
        ...{ PATH: process.env.PATH ?? "", HOME: home, XDG_CACHE_HOME: join(home, "cache") },
        MIDCTL_DATABASE_URL: url,
      };
      const directory = mkdtempSync(join(scratch, "files-"));
      const found = await provisionAtOnce({ threads, hosts, shared, seed, program, env, db, directory });
      await db.close();
      violations.push(...found);
      say(
        `${threads} threads from ${hosts} hosts, ${shared ? "one directory" : "each its own directory"}: ${secondsSince(started)} s, ${found.length} violations`,
      );
    }
  } finally {
    await stop();
    chmodSync(scratch, 0o700);
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const violation of violations.slice(0, 20)) say(`  ${violation}`);
  say(
    `campaign:provision --threads ${threads} --hosts ${hosts} --seed ${seed}: ${secondsSince(began)} s, ${violations.length} violations. ${violations.length === 0 ? "PASSED" : "FAILED"}`,
  );
  return violations.length === 0 ? 0 : 1;
}

async function makeDatabase({ user, socketDir, port }: Launched["server"], name: string): Promise<string> {
  const urlOf = (database: string): string =>
    `postgres://${user}@/${database}?host=${encodeURIComponent(socketDir)}&port=${port}`;
  const root = openPostgres({ url: urlOf("postgres") }, { max: 1 });
  await root.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  await root.close();
  return urlOf(name);
}

function secondsSince(moment: number): string {
  return ((performance.now() - moment) / 1000).toFixed(0);
}
