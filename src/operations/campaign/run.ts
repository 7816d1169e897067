import { setTimeout as wait } from "node:timers/promises";
import type { Database } from "../../db/database.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import {
  type Campaign,
  type CampaignTarget,
  readCampaignTargets,
  setCampaignStatus,
  type TargetState,
} from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { awaitLetGo } from "../let-go.ts";
import { requireEnvironment } from "../lookup.ts";
import { completeChunk, prepareChunk, rotateChunk } from "./chunk.ts";
import { type Delivery, type Issuer, type Outcome, type Running, TOGETHER } from "./delivery.ts";
import { issueFreely } from "./issue.ts";
import { requireCampaign, requireTerms } from "./read.ts";
import type { CampaignTerms } from "./terms.ts";

export interface CampaignHooks {
  /** Null where all is well, else what is not. Asked between two batches. */
  health(): Promise<string | null>;
  /** After each transaction: how far it has come, as far as this run knows. */
  onProgress(progress: Progress): void;
  /** Whether to stop after what is under way: somebody interrupted. */
  stopping(): boolean;
}

export type Progress = Pick<Campaign, "targets" | "delivered" | "failed">;

/** What somebody who runs a campaign brings along. */
export interface Runner {
  readonly delivery: Delivery;
  /** Whom to believe about approvals; asked for only where the campaign has one. @throws MidctlError `usage` where none is set */
  trust(): TrustRoot;
  /** What has to be said to go on. */
  readonly again: string;
}

/** Between two looks at whether somebody interrupted a pause, ms. */
const LOOK = 200;
/** So many at once where there are no batches to speak of. */
const STREAM = 1_000;
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
  runner: Runner,
  hooks: CampaignHooks,
): Promise<Campaign> {
  const begun = await requireCampaign(db, id);
  const terms = requireTerms(begun);
  const environment = await requireEnvironment(db);
  if (begun.status === "done" && begun.delivered === begun.targets) return begun;
  const acting: Request = { ...request, reason: reasonOf(request, terms, id), noWait: true };
  const running: Running = { id, terms, environment };
  const issuer = await issuerOf(db, acting, begun, running, runner);
  await change(db, acting, (tx) => setCampaignStatus(tx, id, "running", null));
  const problem = await runBatches(db, acting, running, begun, { issuer, delivery: runner.delivery, hooks });
  // What was revoked is refused everywhere when this returns (SPEC §8).
  if (terms.compromised) await awaitLetGo(db);
  return finish(db, acting, id, problem === null ? "done" : "stopped", problem);
}

async function issuerOf(
  db: Database,
  request: Request,
  { id, approval }: Campaign,
  running: Running,
  runner: Runner,
): Promise<Issuer> {
  if (approval === null) return issueFreely(db, request, running);
  const { issueByApproval } = await import("./issue-approved.ts");
  return issueByApproval(db, request, { id, approval }, runner.trust(), runner.again);
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
  // Where nothing is asked or waited for in between, batches are as long as may be: then the next secrets are always under way.
  const limit = terms.checked || terms.pause > 0 ? terms.batch : Math.max(terms.batch, STREAM);
  // Whoever asks for small batches has no more at stake when one of them fails.
  const step = Math.min(TOGETHER, terms.batch);
  for await (const left of batchesOf(db, id, limit)) {
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
    let ahead = prepareChunk(running, batch.slice(0, step), delivery);
    for (let at = 0; at < batch.length; at += step) {
      const made = await ahead;
      const chunk = at === 0 ? made : await completeChunk(running, made, delivery);
      // The disk works on the next while the database works on these.
      ahead = prepareChunk(running, batch.slice(at + step, at + 2 * step), delivery);
      const outcomes = await rotateChunk(db, request, running, chunk, { issuer, delivery }).finally(
        () => ahead,
      );
      progress = advance(progress, outcomes);
      hooks.onProgress(progress);
      failures += outcomes.filter(({ state }) => state !== "delivered").length;
      const problem =
        failures > terms.maxFailures ? tooMany(failures, terms) : hooks.stopping() ? INTERRUPTED : null;
      if (problem === null) continue;
      for (const { target, prepared } of (await ahead).ready)
        if (target.state !== "issued") prepared.discard();
      return problem;
    }
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
