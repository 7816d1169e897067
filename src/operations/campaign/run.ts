import { setTimeout as wait } from "node:timers/promises";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import {
  type Campaign,
  type CampaignTarget,
  readCampaignTargets,
  setCampaignStatus,
  setCampaignTargets,
  type TargetState,
} from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { withdrawCredential } from "../credential-issue.ts";
import { awaitLetGo } from "../let-go.ts";
import { requireEnvironment } from "../lookup.ts";
import { type Delivery, type Issuer, type Outcome, type Ready, type Running, TOGETHER } from "./delivery.ts";
import { issueFreely } from "./issue.ts";
import { requireCampaign, requireTerms } from "./read.ts";
import { refuseStrangers } from "./standing.ts";
import type { CampaignTerms } from "./terms.ts";

export interface CampaignHooks {
  /** Null where all is well, else what is not. Asked between two batches. */
  health(): Promise<string | null>;
  /** After each batch: how far it has come, as far as this run knows. */
  onProgress(progress: Progress): void;
  /** Whether to stop after what is under way: somebody interrupted. */
  stopping(): boolean;
}

export type Progress = Pick<Campaign, "targets" | "delivered" | "failed">;

/** What somebody who runs a campaign brings along. */
export interface Means {
  readonly delivery: Delivery;
  /** Whom to believe about approvals; asked for only where the campaign has one. @throws MidctlError `usage` where none is set */
  trust(): TrustRoot;
  /** What has to be said to go on. */
  readonly again: string;
}

/** Between two looks at whether somebody interrupted a pause, ms. */
const LOOK = 200;
const INTERRUPTED = "it was interrupted";

/**
 * Rotates what is left of a campaign, batch by batch. Each target's secret is made before its row is written, and delivered
 * after; its predecessor ends by the successor's first use alone, unless it is compromised, so that whatever happens in between locks
 * nobody out. Safe to kill at any moment, and to run again; several at once do no harm.
 * @returns the campaign as it stands: `done`, or `stopped` with the problem
 * @throws MidctlError `not_found`, `conflict` for one that another version began, `approval_required` for one that waits for votes,
 * `denied` where the trust root does not agree that it is approved
 */
export async function runCampaign(
  db: Database,
  request: Request,
  id: string,
  means: Means,
  hooks: CampaignHooks,
): Promise<Campaign> {
  const begun = await requireCampaign(db, id);
  const terms = requireTerms(begun);
  const environment = await requireEnvironment(db);
  if (begun.status === "done" && begun.delivered === begun.targets) return begun;
  const acting: Request = { ...request, reason: reasonOf(request, terms, id), noWait: true };
  const running: Running = { id, terms, environment };
  const issuer = await issuerOf(db, acting, begun, running, means);
  await change(db, acting, (tx) => setCampaignStatus(tx, id, "running", null));
  const problem = await runBatches(db, acting, running, begun, { issuer, delivery: means.delivery, hooks });
  // What was revoked is refused everywhere when this returns (SPEC §8).
  if (terms.compromised) await awaitLetGo(db);
  return finish(db, acting, id, problem === null ? "done" : "stopped", problem);
}

async function issuerOf(
  db: Database,
  request: Request,
  { id, approval }: Campaign,
  running: Running,
  means: Means,
): Promise<Issuer> {
  if (approval === null) return issueFreely(db, request, running);
  const { issueByApproval } = await import("./issue-approved.ts");
  return issueByApproval(db, request, { id, approval }, means.trust(), means.again);
}

/** Null where every target has its secret; else why it stopped. */
async function runBatches(
  db: Database,
  request: Request,
  running: Running,
  campaign: Campaign,
  {
    issuer,
    delivery,
    hooks,
  }: { readonly issuer: Issuer; readonly delivery: Delivery; readonly hooks: CampaignHooks },
): Promise<string | null> {
  const { id, terms } = running;
  // Counted here: asked of the database after each batch, it would count them all each time.
  let progress: Progress = campaign;
  let failures = 0;
  let begun = false;
  for await (const left of batchesOf(db, id, terms.batch)) {
    const isDue = ({ state }: CampaignTarget): boolean => issuer.closed === null || state === "issued";
    // Where nothing is to be done there is nothing to tell, to ask or to wait for.
    if (!left.some(isDue)) continue;
    if (begun) {
      const problem = await hooks.health();
      if (problem !== null) return problem;
      await pauseFor(terms.pause, hooks);
      if (hooks.stopping()) return INTERRUPTED;
    }
    // Somebody may have gone on with it in the meantime.
    const batch = begun ? (await readAgain(db, id, left)).filter(isDue) : left.filter(isDue);
    begun = true;
    for (let at = 0; at < batch.length; at += TOGETHER) {
      const outcomes = await rotateChunk(db, request, running, batch.slice(at, at + TOGETHER), {
        issuer,
        delivery,
      });
      progress = advance(progress, outcomes);
      failures += outcomes.filter(({ state }) => state !== "delivered").length;
      if (failures > terms.maxFailures) return tooMany(failures, terms);
      if (hooks.stopping()) return INTERRUPTED;
    }
    hooks.onProgress(progress);
  }
  const { targets, delivered } = await requireCampaign(db, id);
  if (delivered === targets) return null;
  return issuer.closed ?? `${targets - delivered} could not be rotated`;
}

/** What is left by the batch, what failed before last: nobody waits behind one that fails again. */
async function* batchesOf(
  db: Database,
  id: string,
  limit: number,
): AsyncGenerator<readonly CampaignTarget[]> {
  const tried = new Set<number>();
  for (const only of ["begun", "failed"] as const) {
    for (let after = 0; ; ) {
      const page = await readCampaignTargets(db, id, { after, limit, only });
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.position;
      const batch = page.filter(({ position }) => !tried.has(position));
      for (const { position } of batch) tried.add(position);
      if (batch.length > 0) yield batch;
    }
  }
}

/** The same targets as they stand now, without those that were delivered. */
async function readAgain(
  db: Database,
  id: string,
  batch: readonly CampaignTarget[],
): Promise<readonly CampaignTarget[]> {
  const positions = new Set(batch.map(({ position }) => position));
  const [first = 0, last = 0] = [batch[0]?.position, batch.at(-1)?.position];
  const now = await readCampaignTargets(db, id, { after: first - 1, limit: last - first + 1, only: null });
  return now.filter(({ position, state }) => positions.has(position) && state !== "delivered");
}

/** Somebody who interrupts does not wait for the end of a pause. @param seconds at most */
async function pauseFor(seconds: number, { stopping }: CampaignHooks): Promise<void> {
  const until = performance.now() + seconds * 1000;
  for (let left = seconds * 1000; left > 0 && !stopping(); left = until - performance.now())
    await wait(Math.min(LOOK, left));
}

function advance({ targets, delivered, failed }: Progress, outcomes: readonly Outcome[]): Progress {
  const [now, before] = [outcomes, outcomes.map(({ target }) => target)];
  const count = (those: readonly { readonly state: TargetState }[], state: TargetState) =>
    those.filter((each) => each.state === state).length;
  return {
    targets,
    delivered: delivered + count(now, "delivered"),
    failed: failed + count(now, "failed") - count(before, "failed"),
  };
}

/** The log's entries name the campaign. */
export function reasonOf(request: Request, terms: CampaignTerms, id: string): string {
  const reason = request.reason ?? terms.reason;
  return reason === null ? id : `${reason} (${id})`;
}

function tooMany(failures: number, { maxFailures }: CampaignTerms): string {
  return `${failures} could not be rotated, and at most ${maxFailures} may fail`;
}

async function finish(
  db: Database,
  request: Request,
  id: string,
  status: "done" | "stopped",
  problem: string | null,
): Promise<Campaign> {
  await change(db, request, (tx) => setCampaignStatus(tx, id, status, problem));
  const ended = await requireCampaign(db, id);
  // Called done by hand, it stays so in the journal; what it came to is told all the same.
  return ended.delivered === ended.targets ? ended : { ...ended, status, problem };
}

/** What became of each of a chunk. */
async function rotateChunk(
  db: Database,
  request: Request,
  running: Running,
  chunk: readonly CampaignTarget[],
  { issuer, delivery }: { readonly issuer: Issuer; readonly delivery: Delivery },
): Promise<readonly Outcome[]> {
  const { id, environment } = running;
  // What was used was delivered, whatever the journal had time to say.
  const there = chunk.filter(({ state, proven }) => state === "issued" && proven);
  const proven = there.map((target) => ({ target, state: "delivered" as const, problem: null }));
  await note(db, request, id, proven);
  const ready: Ready[] = [];
  const failed: Outcome[] = [];
  const left = chunk.filter((target) => !there.includes(target));
  const made = await Promise.allSettled(left.map((target) => delivery.prepare(target, id, environment)));
  for (const [at, target] of left.entries()) {
    const one = made[at];
    if (one?.status === "fulfilled") ready.push({ target, prepared: one.value });
    else failed.push({ target, state: stateOf(target), problem: problemOf(one?.reason) });
  }
  const { free, taken } = await refuseStrangers(db, ready);
  for (const [{ target, prepared }, { message }] of taken) {
    if (target.state !== "issued") prepared.discard();
    failed.push({ target, state: stateOf(target), problem: message });
  }
  const issued = await issuer.issue(await settled(delivery, free, failed), failed);
  const delivered: Ready[] = [];
  for (const one of issued) {
    const { target, prepared } = one;
    try {
      await prepared.deliver();
      delivered.push(one);
    } catch (error) {
      const problem = problemOf(error);
      // One that lasts is delivered by the next run; any other is lost, and must authenticate nobody.
      if (!prepared.lasts) await withdrawCredential(db, request, prepared.commitment.publicId);
      failed.push({ target, state: prepared.lasts ? "issued" : "failed", problem });
    }
  }
  const kept = await stayed(delivery, delivered, failed);
  const outcomes = kept.map(({ target }) => ({ target, state: "delivered" as const, problem: null }));
  const written = await note(db, request, id, [...outcomes, ...failed]);
  for (const { prepared } of kept) prepared.forget();
  return [...proven, ...outcomes, ...failed.filter(({ target }) => written.has(target.position))];
}

/** Those whose secrets are on disk: all, or none where the disk refuses. */
async function settled(
  delivery: Delivery,
  ready: readonly Ready[],
  failed: Outcome[],
): Promise<readonly Ready[]> {
  try {
    await delivery.settle();
    return ready;
  } catch (error) {
    const problem = problemOf(error);
    // They stay where they are: not issued, and taken up by the next run.
    failed.push(...ready.map(({ target }) => ({ target, state: stateOf(target), problem })));
    return [];
  }
}

/** Those whose delivery outlasts a power failure; whether another's does is not known, and the next run finds out. */
async function stayed(
  delivery: Delivery,
  delivered: readonly Ready[],
  failed: Outcome[],
): Promise<readonly Ready[]> {
  try {
    await delivery.settle();
    return delivered;
  } catch (error) {
    const problem = problemOf(error);
    failed.push(...delivered.map(({ target }) => ({ target, state: "issued" as const, problem })));
    return [];
  }
}

/** What was issued once stays so, whatever keeps its secret from being delivered now. */
function stateOf({ state }: CampaignTarget): Outcome["state"] {
  return state === "issued" ? "issued" : "failed";
}

/** Of which targets this is what became: one that another run delivered meanwhile is left as it is. */
async function note(
  db: Database,
  request: Request,
  id: string,
  outcomes: readonly Outcome[],
): Promise<ReadonlySet<number>> {
  if (outcomes.length === 0) return new Set();
  return change(db, request, (tx) =>
    setCampaignTargets(
      tx,
      id,
      outcomes.map(({ target, state, problem }) => ({
        position: target.position,
        state,
        successor: null,
        problem,
      })),
      { unlessDelivered: true },
    ),
  );
}

function problemOf(error: unknown): string {
  if (error instanceof MidctlError && error.code !== "unavailable" && error.code !== "internal")
    return error.message;
  throw error;
}
