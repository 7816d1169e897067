import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { addressOf } from "../../../src/db/engine/location.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { verifyLog } from "../../../src/operations/audit-verify.ts";
import { Ground } from "../ground.ts";
import { createRandom, type Random } from "../random.ts";

interface CampaignOptions {
  /** Of writers and of the server, a third of them the server's. */
  readonly kills: number;
  readonly writers: number;
  /** Seconds for which fifty write at once, and nobody is killed. */
  readonly storm: number;
  readonly seed: number;
  /** The launcher, built. */
  readonly program: string;
  /** What each writer runs. */
  readonly writer: string;
}

/** Processes, and writers in each. */
const STORM = { processes: 5, writers: 10 };
const STORMING = STORM.processes * STORM.writers;

/** `--kills N --writers W --storm SECONDS --seed S` */
export function parseOptions(argv: readonly string[]): Omit<CampaignOptions, "program" | "writer"> {
  const defaults = { kills: "30", writers: "8", storm: "60", seed: "1" };
  const { values } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(Object.keys(defaults).map((flag) => [flag, { type: "string" as const }])),
  });
  const number = (flag: keyof typeof defaults): number => {
    const text = String(values[flag] ?? defaults[flag]);
    if (!/^\d{1,4}$/.test(text)) throw new Error(`--${flag} takes a whole number, not ${text}`);
    return Number(text);
  };
  return { kills: number("kills"), writers: number("writers"), storm: number("storm"), seed: number("seed") };
}

/**
 * Writers that change the same identities at once are killed at random moments, and their server with them; then the log has to be
 * gapless and to verify, and to hold whatever was acknowledged. After that fifty write undisturbed, and none may deadlock.
 */
export async function runCampaign({
  kills,
  writers,
  storm,
  seed,
  program,
  writer,
}: CampaignOptions): Promise<number> {
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const began = performance.now();
  const ground = new Ground(program);
  await ground.recover();
  const team = new Team(ground, writer, seed);
  const random = createRandom(seed, 0);
  const killed = { writers: 0, servers: 0, postmasters: 0 };
  const faults: string[] = [];
  try {
    team.grow(writers);
    for (let kill = 0; kill < kills; kill++) {
      await delay(50 + random.below(700));
      const victim = random.below(3);
      if (victim > 0) {
        team.killSome(random);
        killed.writers++;
      } else {
        const whole = random.below(2) === 0;
        await ground.disconnect();
        ground.killServer(whole);
        killed[whole ? "servers" : "postmasters"]++;
        await ground.recover();
        faults.push(...(await judgeLog(ground, [])));
      }
      team.grow(writers);
    }
    await team.dismiss();
    await ground.settle();
    faults.push(...(await judgeLog(ground, team.acknowledged)));
    say(
      `killed: ${killed.writers} times writers, ${killed.servers} the server whole, ${killed.postmasters} its postmaster alone; ${team.acknowledged.length} changes acknowledged`,
    );

    const before = team.acknowledged.length;
    const deadlocks = await countDeadlocks(ground);
    if (storm > 0) {
      team.grow(STORM.processes, STORM.writers);
      await delay(storm * 1_000);
      await team.dismiss();
      await ground.settle();
      const met = (await countDeadlocks(ground)) - deadlocks;
      if (met > 0) faults.push(`${met} deadlocks among ${STORMING} writers`);
      faults.push(...(await judgeLog(ground, team.acknowledged)));
      say(
        `storm: ${STORMING} writers for ${storm} s, ${team.acknowledged.length - before} changes, ${met} deadlocks`,
      );
    }
  } finally {
    await team.dismiss();
    await ground.leave(faults.length > 0);
  }
  faults.push(...team.faults);
  for (const fault of faults.slice(0, 20)) say(`  ${fault}`);
  say(
    `campaign:append --kills ${kills} --writers ${writers} --storm ${storm} --seed ${seed}: ${((performance.now() - began) / 1000).toFixed(0)} s, ${faults.length} faults. ${faults.length === 0 ? "PASSED" : `FAILED, see ${ground.directory}`}`,
  );
  return faults.length === 0 ? 0 : 1;
}

class Team {
  /** `ACTION REF`, whatever a writer was told that it is done. */
  readonly acknowledged: string[] = [];
  readonly faults: string[] = [];
  readonly #ground: Ground;
  readonly #writer: string;
  readonly #seed: number;
  readonly #members = new Map<ChildProcess, Promise<void>>();
  #born = 0;

  constructor(ground: Ground, writer: string, seed: number) {
    this.#ground = ground;
    this.#writer = writer;
    this.#seed = seed;
  }

  grow(size: number, writers = 1): void {
    const { socketDir, port, user, database } = addressOf({
      dir: this.#ground.store,
      source: "MIDCTL_DATA_DIR",
    });
    while (this.#members.size < size) {
      const words = [socketDir, port, user, database, this.#seed, ++this.#born, writers].map(String);
      const child = spawn(process.execPath, [this.#writer, ...words], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { PATH: process.env.PATH ?? "" },
      });
      let [line, stderr] = ["", ""];
      child.stdout.on("data", (text: Buffer) => {
        const lines = (line + text.toString()).split("\n");
        line = lines.pop() ?? "";
        this.acknowledged.push(...lines.filter((each) => !each.startsWith("nothing")));
      });
      child.stderr.on("data", (text: Buffer) => {
        stderr += text.toString();
      });
      const gone = new Promise<void>((resolve) => {
        child.on("close", (code, signal) => {
          this.#members.delete(child);
          if (signal !== "SIGKILL") this.faults.push(`a writer ended with ${code ?? signal}: ${stderr}`);
          resolve();
        });
      });
      this.#members.set(child, gone);
    }
  }

  killSome(random: Random): void {
    for (const child of this.#members.keys()) if (random.below(2) === 0) child.kill("SIGKILL");
  }

  async dismiss(): Promise<void> {
    const gone = [...this.#members.values()];
    for (const child of this.#members.keys()) child.kill("SIGKILL");
    await Promise.all(gone);
  }
}

async function judgeLog(ground: Ground, acknowledged: readonly string[]): Promise<string[]> {
  const db = openPostgres(addressOf({ dir: ground.store, source: "MIDCTL_DATA_DIR" }), {
    applicationName: "judge",
  });
  try {
    const { findings } = await verifyLog(db, { checkpoints: [], verified: 0, onProgress: () => {} });
    const [row] = await db.query<{ torn: number }>(
      `SELECT ((SELECT count(*) FROM midctl_log WHERE action = 'identity.create') <> (SELECT count(*) FROM machine_identity))::int
            + ((SELECT count(*) FROM midctl_log WHERE action = 'credential.issue') <> (SELECT count(*) FROM machine_identity_credential))::int
            + (SELECT count(*)::int FROM midctl_log_queue) AS torn`,
    );
    const entries = await db.query<{ said: string; times: number }>(
      `SELECT action || ' ' || coalesce('mc_' || credential, entry::jsonb ->> 'slug') AS said, count(*)::int AS times FROM midctl_log GROUP BY 1`,
    );
    const left = new Map(entries.map(({ said, times }) => [said, times]));
    const lost: string[] = [];
    for (const said of acknowledged) {
      const times = left.get(said) ?? 0;
      if (times === 0) lost.push(`acknowledged and not in the log: ${said}`);
      left.set(said, times - 1);
    }
    return [
      ...findings.map(({ says }) => says),
      ...(row?.torn === 0 ? [] : ["the log does not have exactly what the tables have"]),
      ...lost,
    ];
  } finally {
    await db.close();
  }
}

async function countDeadlocks(ground: Ground): Promise<number> {
  const [row] = await ground.sql<{ deadlocks: number }[]>`
    SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
  return row?.deadlocks ?? 0;
}
