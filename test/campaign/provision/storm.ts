import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "../../../src/db/database.ts";
import { verifyToken } from "../../../src/operations/verify.ts";
import { type Ended, runKillable } from "../killable.ts";
import { createRandom } from "../random.ts";

export interface StormOptions {
  /** Threads that every host provisions. */
  readonly threads: number;
  /** How many at once. */
  readonly hosts: number;
  /** Whether all write into one directory, as on a shared disk, or each into its own. */
  readonly shared: boolean;
  /** By which the threads are shuffled. */
  readonly seed: number;
  /** The launcher, built. */
  readonly program: string;
  /** What the program finds; its database is `db`. */
  readonly env: Readonly<Record<string, string>>;
  readonly db: Database;
  /** Private, empty. */
  readonly directory: string;
}

interface Attempt {
  readonly thread: string;
  readonly file: string;
  readonly ended: Ended;
}

/**
 * Hosts that provision the same threads at once, each by the one call that a script makes for each, as processes.
 * @returns what is not as promised: nothing, where one of them won each thread and the others were told
 */
export async function provisionAtOnce(options: StormOptions): Promise<string[]> {
  const threads = Array.from({ length: options.threads }, (_, at) => `storm-${at + 1}`);
  const attempts = await Promise.all(
    Array.from({ length: options.hosts }, (_, host) => provision(options, host, threads)),
  );
  const faults = await countFaults(options, threads);
  for (const thread of threads) {
    const all = attempts.flat().filter((attempt) => attempt.thread === thread);
    faults.push(...(options.shared ? sharedFaults(all) : await ownFaults(options.db, all)));
    faults.push(...(await secretFaults(options.db, thread, all)));
  }
  return faults;
}

/** One host: every thread once, in an order that it has in common with one other, so that these two meet at every thread. */
async function provision(
  options: StormOptions,
  host: number,
  threads: readonly string[],
): Promise<Attempt[]> {
  const { program, env, seed, shared } = options;
  const directory = join(options.directory, shared ? "shared" : `host-${host}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const random = createRandom(seed, host >> 1);
  const left = [...threads];
  const attempts: Attempt[] = [];
  while (left.length > 0) {
    const [thread] = left.splice(random.below(left.length), 1) as [string];
    const file = join(directory, `${thread}.token`);
    const words = ["credential", "issue", "--thread", thread, "--provider", "codex", "--create"];
    const ended = await runKillable(
      program,
      [...words, "--owner", "team", "--token-file", file, "--json"],
      env,
    );
    attempts.push({ thread, file, ended });
  }
  return attempts;
}

/** Of the database: as many identities as threads, each with one credential and no more. */
async function countFaults({ db }: StormOptions, threads: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ slug: string; credentials: number }>(
    `SELECT i.slug, count(c.id)::int AS credentials FROM machine_identity i
       LEFT JOIN machine_identity_credential c ON c."machineIdentityId" = i.id GROUP BY i.slug`,
  );
  const faults = rows.flatMap(({ slug, credentials }) =>
    credentials === 1 ? [] : [`${slug} has ${credentials} credentials`],
  );
  return rows.length === threads.length
    ? faults
    : [...faults, `there are ${rows.length} identities for ${threads.length} threads`];
}

/** Each into its own file: one wins, and every loser is told by its exit code and holds nothing that authenticates. */
async function ownFaults(db: Database, attempts: readonly Attempt[]): Promise<string[]> {
  const won = attempts.filter(({ ended }) => ended.code === 0);
  const faults = won.length === 1 ? [] : [`${attempts[0]?.thread} was won ${won.length} times`];
  for (const { file, ended } of attempts.filter((each) => !won.includes(each))) {
    if (ended.code !== 5) faults.push(`a loser's exit code is ${ended.code}: ${ended.stderr}`);
    const held = readToken(file);
    if (held !== null && (await verifyToken(db, held, null)).ok)
      faults.push(`a loser holds a secret: ${file}`);
  }
  return faults;
}

/** All into one file: whoever comes second finds the first one's secret, and has what it asked for. */
function sharedFaults(attempts: readonly Attempt[]): string[] {
  const faults = attempts.flatMap(({ ended }) =>
    ended.code === 0 ? [] : [`an exit code on one file is ${ended.code}: ${ended.stderr}`],
  );
  const created = attempts.filter(
    ({ ended }) => ended.code === 0 && JSON.parse(ended.stdout).created === true,
  );
  return created.length === 1
    ? faults
    : [...faults, `${attempts[0]?.thread} was created ${created.length} times`];
}

/** The one secret of a thread is in the file of whoever was told that it is. A look, and no use. */
async function secretFaults(db: Database, thread: string, attempts: readonly Attempt[]): Promise<string[]> {
  const files = new Set(attempts.filter(({ ended }) => ended.code === 0).map(({ file }) => file));
  const faults: string[] = [];
  for (const file of files) {
    const decision = await verifyToken(db, readToken(file) ?? "", null);
    if (!decision.ok) faults.push(`the secret of ${thread} is ${decision.code}`);
    else if (decision.credential?.identity !== `codex-${thread}`)
      faults.push(`the file of ${thread} holds the secret of ${decision.credential?.identity}`);
  }
  return faults;
}

function readToken(file: string): string | null {
  return existsSync(file) ? readFileSync(file, "utf8").trim() : null;
}
