import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Database } from "../../../src/db/database.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { createAuthenticator } from "../../../src/operations/authenticate.ts";
import { initDatabase } from "../../../src/operations/db-init.ts";
import { findTestBinaries, HASTY, launch, makeScratch } from "../../support/launcher.ts";
import { ALICE, issueActive } from "../../verifier/scene.ts";
import { type Ended, runKillable } from "../killable.ts";
import { createRandom, type Random } from "../random.ts";

export interface CampaignOptions {
  /** Identities that are rotated. */
  readonly fleet: number;
  /** SIGKILLs that find the command alive. */
  readonly kills: number;
  readonly seed: number;
  /** The launcher, built. */
  readonly program: string;
}

/** `--fleet N --kills K --seed S` */
export function parseOptions(argv: readonly string[]): Omit<CampaignOptions, "program"> {
  const { values } = parseArgs({
    args: [...argv],
    options: { fleet: { type: "string" }, kills: { type: "string" }, seed: { type: "string" } },
  });
  const number = (flag: "fleet" | "kills" | "seed", otherwise: string): number => {
    const text = values[flag] ?? otherwise;
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`--${flag} takes a whole number, not ${text}`);
    return Number(text);
  };
  return { fleet: number("fleet", "200"), kills: number("kills", "30"), seed: number("seed", "1") };
}

/** How many probe at once. */
const PROBERS = 4;
/** So many tries for each kill that is wanted: a process that was too quick to be killed is no kill. */
const TRIES = 5;

/**
 * Rotates a fleet again and again, kills the command at random moments, and resumes it, while probers use what each identity's
 * file holds. Says what it found, and returns 0, or 1 where a file's secret was refused once, or anything is left half-done.
 */
export async function runCampaign({ fleet, kills, seed, program }: CampaignOptions): Promise<number> {
  const began = performance.now();
  const random = createRandom(seed, 0);
  const scratch = makeScratch();
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const violations: string[] = [];
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("there is no PostgreSQL");
  const { server, stop } = await launch(candidate, scratch, HASTY);
  try {
    const { user, socketDir, port } = server;
    const url = `postgres://${user}@/postgres?host=${encodeURIComponent(socketDir)}&port=${port}`;
    const db = openPostgres({ url }, { applicationName: "campaign" });
    await initDatabase(db, ALICE, { name: "fleet", live: false, protected: false });
    const secrets = join(scratch, "secrets");
    mkdirSync(secrets, { mode: 0o700 });
    const slugs = Array.from({ length: fleet }, (_, at) => `agent-${at + 1}`);
    for (const slug of slugs) {
      writeFileSync(join(secrets, `${slug}.token`), `${await issueActive(db, slug)}\n`, { mode: 0o600 });
    }
    const probers = startProbers(db, secrets, slugs, violations);
    const stage = { db, url, scratch, secrets, program, random };
    say(await killAndResume(stage, kills, violations));
    say(`probes: ${await probers.stop()} of a file's secret, while it was rotated`);
    violations.push(...(await faultsOf(db, secrets, slugs)));
    await db.close();
  } finally {
    await stop();
    chmodSync(scratch, 0o700);
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const violation of violations.slice(0, 20)) say(`  ${violation}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  say(
    `campaign:rotate --fleet ${fleet} --kills ${kills} --seed ${seed}: ${seconds} s, ${violations.length} violations. ${violations.length === 0 ? "PASSED" : "FAILED"}`,
  );
  return violations.length === 0 ? 0 : 1;
}

/** Agents: each reads its file and uses what it holds, again and again. A first use activates. */
function startProbers(db: Database, secrets: string, slugs: readonly string[], violations: string[]) {
  const verifier = createAuthenticator({ db });
  let probing = true;
  let probes = 0;
  const probe = async (from: number): Promise<void> => {
    for (let at = from; probing; at = (at + PROBERS) % slugs.length) {
      const slug = slugs[at] as string;
      const token = readFileSync(join(secrets, `${slug}.token`), "utf8").trim();
      const decision = await verifier.authenticate(token);
      probes++;
      if (!decision.ok) violations.push(`${slug}: its file's secret is ${decision.code}`);
      else if (decision.actor.slug !== slug)
        violations.push(`${slug}: its file's secret is ${decision.actor.slug}'s`);
      // An answer from the cache lets nothing else of this process have its turn, the database's answers included.
      await nextTurn();
    }
  };
  const all = Array.from({ length: PROBERS }, (_, at) => probe(at));
  return {
    async stop(): Promise<number> {
      // Each once more, so that whatever was delivered last has been used.
      await delay(500);
      probing = false;
      await Promise.all(all);
      for (const slug of slugs) {
        const token = readFileSync(join(secrets, `${slug}.token`), "utf8").trim();
        const decision = await verifier.authenticate(token);
        if (!decision.ok) violations.push(`${slug}: in the end its file's secret is ${decision.code}`);
      }
      await verifier.close();
      return probes;
    },
  };
}

interface Stage {
  readonly db: Database;
  readonly url: string;
  readonly scratch: string;
  readonly secrets: string;
  readonly program: string;
  readonly random: Random;
}

async function killAndResume(stage: Stage, kills: number, violations: string[]): Promise<string> {
  const { db, secrets, random } = stage;
  const begin = ["credential", "rotate", "--all", "--token-file-dir", secrets, "--batch", "10", "--yes"];
  const whole = await run(stage, begin, null);
  if (whole.code !== 0)
    violations.push(`a campaign that nobody killed exited ${whole.code}: ${whole.stderr}`);
  let killed = 0;
  let campaigns = 1;
  for (let tries = 0; killed < kills && tries < kills * TRIES; tries++) {
    const open = await openCampaign(db);
    if (open === null) {
      await untilProven(db);
      campaigns++;
    }
    const words = open === null ? begin : ["runbook", "resume", open, "--token-file-dir", secrets];
    const end = await run(stage, words, random.unit() * whole.ms * 1.1);
    if (end.killed) killed++;
    else if (end.code !== 0) violations.push(`${words[0]} exited ${end.code}: ${end.stderr}`);
  }
  for (let open = await openCampaign(db); open !== null; open = await openCampaign(db)) {
    const end = await run(stage, ["runbook", "resume", open, "--token-file-dir", stage.secrets], null);
    if (end.code !== 0) {
      violations.push(`the last resume exited ${end.code}: ${end.stderr}`);
      break;
    }
  }
  if (killed < kills) violations.push(`only ${killed} of ${kills} kills found it alive`);
  return `kills: ${killed}, over ${campaigns} campaigns`;
}

async function openCampaign(db: Database): Promise<string | null> {
  const [row] = await db.query<{ id: string }>(
    `SELECT 'rb_' || "publicId" AS id FROM midctl_campaign WHERE status <> 'done' ORDER BY id LIMIT 1`,
  );
  return row?.id ?? null;
}

/** Until every secret that was delivered has been used: a pending one would stand in the next campaign's way. */
async function untilProven(db: Database): Promise<void> {
  for (let looks = 0; looks < 3000; looks++) {
    const [row] = await db.query<{ pending: number }>(
      `SELECT count(*)::int AS pending FROM machine_identity_credential WHERE status = 'pending'`,
    );
    if (row?.pending === 0) return;
    await delay(10);
  }
  throw new Error("what was delivered is not used");
}

/** One current credential each, with its secret in its file, and no other secret that anybody knows. */
async function faultsOf(db: Database, secrets: string, slugs: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ slug: string; current: string[]; pending: number }>(
    `SELECT i.slug, coalesce(jsonb_agg(c."publicId") FILTER (WHERE c.status IN ('active', 'paused')), '[]') AS current,
            count(*) FILTER (WHERE c.status = 'pending')::int AS pending
       FROM machine_identity i JOIN machine_identity_credential c ON c."machineIdentityId" = i.id GROUP BY i.slug`,
  );
  const faults = rows.flatMap(({ slug, current, pending }) => {
    const held = readFileSync(join(secrets, `${slug}.token`), "utf8").split("_")[2];
    return [
      ...(current.length === 1 ? [] : [`${slug} has ${current.length} current credentials`]),
      ...(current[0] === held
        ? []
        : [`${slug}'s file holds the secret of mc_${held}, and mc_${current[0]} is current`]),
      ...(pending === 0 ? [] : [`${slug} has ${pending} pending credentials`]),
    ];
  });
  const expected = new Set(slugs.map((slug) => `${slug}.token`));
  for (const file of readdirSync(secrets).filter((name) => !expected.has(name))) {
    // A kill between the writing of a secret and its naming leaves it, unknown to the database.
    const [row] = await db.query<{ known: boolean }>(
      `SELECT EXISTS (SELECT FROM machine_identity_credential WHERE "publicId" = $1) AS known`,
      [readFileSync(join(secrets, file), "utf8").split("_")[2] ?? ""],
    );
    if (!file.startsWith(".midctl-token-") || row?.known !== false) faults.push(`${file} was left behind`);
  }
  return rows.length === slugs.length ? faults : [...faults, `there are ${rows.length} identities`];
}

/** @param moment ms after which it is killed; null for never */
function run(
  { program, scratch, url }: Stage,
  args: readonly string[],
  moment: number | null,
): Promise<Ended> {
  const home = join(scratch, "home");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const env = {
    ...{ PATH: process.env.PATH ?? "", HOME: home, XDG_CACHE_HOME: join(home, "cache") },
    MIDCTL_DATABASE_URL: url,
  };
  return runKillable(program, args, env, moment === null ? undefined : delay(moment));
}
