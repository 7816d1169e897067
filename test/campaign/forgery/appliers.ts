import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "../../../src/db/database.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { applyApproval } from "../../../src/operations/approval/apply.ts";
import { loadTrust } from "../../../src/operations/approval/trust-dir.ts";
import { draftNewToken, OPERATOR, requestSigned, type TrustDesk, type Written } from "../../support/trust.ts";
import { runKillable } from "../killable.ts";
import type { Random } from "../random.ts";

/** Where plans are made and carried out. */
export interface Bench {
  readonly db: Database;
  readonly url: string;
  readonly desk: TrustDesk;
  /** The trust directory. */
  readonly dir: string;
}

export const LINES = 10;
let made = 0;

/** An approved plan that issues a token on each line. */
export async function approveLines({ db, desk }: Bench, lines = LINES): Promise<Written> {
  const drafts = [];
  for (let at = 0; at < lines; at++) drafts.push((await draftNewToken(db, `raced-${++made}`)).draft);
  return requestSigned(db, desk, drafts);
}

/** Two appliers on one plan, again and again; returns a line that counts. */
export async function raceAppliers(bench: Bench, races: number, violations: string[]): Promise<string> {
  const [left, right] = [openPostgres({ url: bench.url }), openPostgres({ url: bench.url })];
  let shared = 0;
  try {
    for (let race = 0; race < races; race++) {
      const written = await approveLines(bench);
      const faults = await raceOnce(bench, written, [left, right]);
      violations.push(...faults.faults.map((fault) => `races: ${race}: ${fault}`));
      if (faults.shared) shared++;
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
  return `races: ${races} of two appliers over ${LINES} lines, ${shared} in which both carried some out`;
}

/** What two appliers that start together leave behind that they must not, and whether both did some of the work. */
export async function raceOnce(
  { db, dir }: Bench,
  written: Written,
  appliers: readonly [Database, Database],
): Promise<{ readonly faults: readonly string[]; readonly shared: boolean }> {
  const trust = loadTrust(dir);
  const settled = await Promise.allSettled(
    appliers.map((each) => applyApproval(each, OPERATOR, trust, written.plan.id)),
  );
  const faults = settled.flatMap((end) =>
    end.status === "rejected" ? [`an applier failed: ${String((end.reason as Error).message)}`] : [],
  );
  const results = settled.map((end) => (end.status === "fulfilled" ? end.value.results : []));
  const carried = results.flat().map(({ line }) => line);
  if (carried.length !== written.plan.lines.length || new Set(carried).size !== carried.length) {
    faults.push(`lines told as carried out: ${carried.join(" ")}`);
  }
  faults.push(...(await faultsOf(db, written)), ...(await missing(db, written)));
  return { faults, shared: results.every(({ length }) => length > 0) };
}

interface LineState {
  readonly line: number;
  readonly outcome: string | null;
  readonly credentials: number;
  readonly tokens: number;
  readonly entries: number;
}

/** Each line as the tables and the log have it. */
async function readLines(db: Database, { plan }: Written): Promise<LineState[]> {
  return db.query<LineState>(
    `SELECT l.line, l.outcome,
            (SELECT count(*)::int FROM machine_identity_credential c WHERE c."publicId" = l.credential) AS credentials,
            (SELECT count(*)::int FROM agent_token t WHERE t."publicId" = l.credential) AS tokens,
            (SELECT count(*)::int FROM midctl_log g WHERE g.credential = l.credential AND g.action = 'credential.issue') AS entries
       FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId" WHERE a."publicId" = $1 ORDER BY l.line`,
    [plan.id.slice(3)],
  );
}

/** Lines that are used up and not done, done twice, or done and not used up. */
export async function faultsOf(db: Database, written: Written): Promise<string[]> {
  return (await readLines(db, written))
    .filter(({ outcome, credentials, tokens, entries }) => {
      const times = outcome === "done" ? 1 : 0;
      return credentials !== times || tokens !== times || entries !== times || outcome === "superseded";
    })
    .map((line) => JSON.stringify(line));
}

/** What is not carried out yet. */
async function missing(db: Database, written: Written): Promise<string[]> {
  const [approval] = await db.query<{ status: string }>(
    `SELECT status FROM midctl_approval WHERE digest = $1`,
    [written.digest],
  );
  const open = (await readLines(db, written)).filter(({ outcome }) => outcome !== "done");
  return [
    ...open.map(({ line }) => `line ${line} is not done`),
    ...(approval?.status === "executed" ? [] : [`the approval is ${approval?.status}`]),
  ];
}

export interface Killing {
  /** The launcher, built. */
  readonly program: string;
  readonly scratch: string;
  readonly random: Random;
}

/** SIGKILLs `midctl approval apply`, and then lets it finish; returns a line that counts. */
export async function killAppliers(
  bench: Bench,
  kills: number,
  { program, scratch, random }: Killing,
  violations: string[],
): Promise<string> {
  const home = join(scratch, "home");
  mkdirSync(home, { mode: 0o700 });
  const env = {
    ...{ PATH: process.env.PATH ?? "", HOME: home, XDG_CACHE_HOME: join(home, "cache") },
    ...{ MIDCTL_DATABASE_URL: bench.url, MIDCTL_TRUST_DIR: bench.dir },
  };
  const apply = (id: string, moment?: Promise<void>) =>
    runKillable(program, ["approval", "apply", id], env, moment);
  const whole = await apply((await approveLines(bench)).plan.id);
  if (whole.code !== 0)
    violations.push(`kills: an apply that nobody killed exited ${whole.code}: ${whole.stderr}`);
  const within = { killed: 0, amid: 0 };
  // A process that was too quick to be killed is no kill.
  for (let tries = 0; within.killed < kills && tries < kills * 5; tries++) {
    const written = await approveLines(bench);
    // At any moment of its life, or among its lines.
    const moment =
      tries % 2 === 0
        ? delay(random.unit() * whole.ms * 1.1)
        : untilDone(bench.db, written, 1 + random.below(LINES - 1)).then(() => delay(random.unit() * 5));
    const { killed } = await apply(written.plan.id, moment);
    if (killed) within.killed++;
    await untilQuiet(bench.db);
    violations.push(...(await faultsOf(bench.db, written)).map((fault) => `kills: ${fault}`));
    const done = LINES - (await missing(bench.db, written)).filter((each) => each.startsWith("line")).length;
    if (killed && done > 0 && done < LINES) within.amid++;
    const again = await apply(written.plan.id);
    if (again.code !== 0) violations.push(`kills: the rerun exited ${again.code}: ${again.stderr}`);
    const left = [...(await faultsOf(bench.db, written)), ...(await missing(bench.db, written))];
    violations.push(...left.map((fault) => `kills: after the rerun: ${fault}`));
  }
  if (within.killed < kills) violations.push(`kills: only ${within.killed} of ${kills} found it alive`);
  return `kills: ${within.killed} of approval apply, ${within.amid} of them between its lines`;
}

/** Waits until so many lines are done. */
async function untilDone(db: Database, written: Written, lines: number): Promise<void> {
  for (;;) {
    const done = (await readLines(db, written)).filter(({ outcome }) => outcome === "done");
    if (done.length >= lines) return;
    await delay(1);
  }
}

/** Waits until the server has noticed who is gone. */
async function untilQuiet(db: Database): Promise<void> {
  for (;;) {
    const [row] = await db.query<{ busy: number }>(
      `SELECT count(*)::int AS busy FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND datname = current_database() AND application_name NOT LIKE 'campaign%' AND state <> 'idle' AND pid <> pg_backend_pid()`,
    );
    if (row?.busy === 0) return;
    await delay(5);
  }
}
