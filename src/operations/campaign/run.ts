import { setTimeout as wait } from "node:timers/promises";
import type { Database } from "../../db/database.ts";
import { CommitUnknown } from "../../db/failure.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { Commitment } from "../../domain/token.ts";
import {
  type Campaign,
  type CampaignTarget,
  readCampaignTargets,
  setCampaignStatus,
  setCampaignTargets,
} from "../../repository/campaign.ts";
import { findCredential } from "../../repository/credential.ts";
import type { Environment } from "../../repository/environment.ts";
import { lockIdentities } from "../../repository/identity.ts";
import { change, type Request } from "../change.ts";
import { withdrawCredential } from "../credential-issue.ts";
import { rotateWithin } from "../credential-rotate.ts";
import { requireEnvironment } from "../lookup.ts";
import { requireCampaign, requireTerms } from "./read.ts";
import type { CampaignTerms } from "./terms.ts";

/** How secrets are made and get to where they are used. */
export interface Delivery {
  /**
   * The secret of a target: made now, or found where an interrupted run left it. Where it `lasts`, it is on disk when this returns.
   * @throws MidctlError where it could not be delivered; nothing is issued then
   */
  prepare(target: CampaignTarget, campaign: string, environment: Environment): Prepared;
}

export interface Prepared {
  readonly commitment: Commitment;
  /** Whether it can be found again after a crash. */
  readonly lasts: boolean;
  /** Once the row is committed. @throws MidctlError where the secret did not get there */
  deliver(): Promise<void>;
  /** Takes back what was made, where it is certain that nothing was issued against it. */
  discard(): void;
}

export interface CampaignHooks {
  /** Null where all is well, else what is not. Asked between two batches. */
  health(): Promise<string | null>;
  /** After each batch. */
  onProgress(campaign: Campaign): void;
  /** Whether to stop after what is under way: somebody interrupted. */
  stopping(): boolean;
}

/** So many in one transaction at most: one that fails takes the others' back, and each is then done by itself. */
const CHUNK = 50;

/**
 * Rotates what is left of a campaign, batch by batch. Each target's secret is made before its row is written, and delivered
 * after; its predecessor ends by the successor's first use alone, so that whatever happens in between locks nobody out. Safe
 * to kill at any moment, and to run again; several at once do no harm.
 * @returns the campaign as it stands: `done`, or `stopped` with the problem
 * @throws MidctlError `not_found`, `conflict` for one that another version began
 */
export async function runCampaign(
  db: Database,
  request: Request,
  id: string,
  delivery: Delivery,
  hooks: CampaignHooks,
): Promise<Campaign> {
  const begun = await requireCampaign(db, id);
  const terms = requireTerms(begun);
  const environment = await requireEnvironment(db);
  if (begun.status === "done") return begun;
  const acting: Request = { ...request, reason: reasonOf(request, terms, id), noWait: true };
  await change(db, acting, (tx) => setCampaignStatus(tx, id, "running", null));
  let failures = 0;
  for (let after = 0; ; ) {
    const batch = await readCampaignTargets(db, id, { after, limit: terms.batch, undelivered: true });
    const last = batch.at(-1);
    if (last === undefined) break;
    after = last.position;
    for (let at = 0; at < batch.length; at += CHUNK) {
      const chunk = batch.slice(at, at + CHUNK);
      failures += await rotateChunk(db, acting, { id, terms, environment }, chunk, delivery);
      if (failures > terms.maxFailures) return stop(db, acting, id, tooMany(failures, terms));
      if (hooks.stopping()) return stop(db, acting, id, "it was interrupted");
    }
    const campaign = await requireCampaign(db, id);
    hooks.onProgress(campaign);
    const next = await readCampaignTargets(db, id, { after, limit: 1, undelivered: true });
    if (next.length === 0) break;
    const problem = await hooks.health();
    if (problem !== null) return stop(db, acting, id, problem);
    if (hooks.stopping()) return stop(db, acting, id, "it was interrupted");
    if (terms.pause > 0) await wait(terms.pause * 1000);
  }
  const { targets, delivered } = await requireCampaign(db, id);
  if (delivered === targets) return finish(db, acting, id, "done", null);
  return stop(db, acting, id, `${targets - delivered} could not be rotated`);
}

/** The log's entries name the campaign. */
function reasonOf(request: Request, terms: CampaignTerms, id: string): string {
  const reason = request.reason ?? terms.reason;
  return reason === null ? id : `${reason} (${id})`;
}

function tooMany(failures: number, { maxFailures }: CampaignTerms): string {
  return `${failures} could not be rotated, and at most ${maxFailures} may fail`;
}

function stop(db: Database, request: Request, id: string, problem: string): Promise<Campaign> {
  return finish(db, request, id, "stopped", problem);
}

async function finish(
  db: Database,
  request: Request,
  id: string,
  status: "done" | "stopped",
  problem: string | null,
): Promise<Campaign> {
  await change(db, request, (tx) => setCampaignStatus(tx, id, status, problem));
  return requireCampaign(db, id);
}

interface Running {
  readonly id: string;
  readonly terms: CampaignTerms;
  readonly environment: Environment;
}

interface Ready {
  readonly target: CampaignTarget;
  readonly prepared: Prepared;
}

/** How many of a chunk failed. */
async function rotateChunk(
  db: Database,
  request: Request,
  running: Running,
  chunk: readonly CampaignTarget[],
  delivery: Delivery,
): Promise<number> {
  const { id, environment } = running;
  // What was used was delivered, whatever the journal had time to say.
  const there = chunk.filter(({ state, proven }) => state === "issued" && proven);
  await note(
    db,
    request,
    id,
    there.map((target) => ({ target, state: "delivered", problem: null })),
  );
  const ready: Ready[] = [];
  const failed: Outcome[] = [];
  for (const target of chunk) {
    if (there.includes(target)) continue;
    try {
      ready.push({ target, prepared: delivery.prepare(target, id, environment) });
    } catch (error) {
      failed.push({ target, state: "failed", problem: problemOf(error) });
    }
  }
  const issued = await issueAll(db, request, running, ready, failed);
  const outcomes: Outcome[] = [];
  for (const { target, prepared } of issued) {
    try {
      await prepared.deliver();
      outcomes.push({ target, state: "delivered", problem: null });
    } catch (error) {
      const problem = problemOf(error);
      // One that lasts is delivered by the next run; any other is lost, and must authenticate nobody.
      if (!prepared.lasts) await withdrawCredential(db, request, prepared.commitment.publicId);
      failed.push({ target, state: prepared.lasts ? "issued" : "failed", problem });
    }
  }
  await note(db, request, id, [...outcomes, ...failed]);
  return failed.length;
}

interface Outcome {
  readonly target: CampaignTarget;
  readonly state: "delivered" | "failed" | "issued";
  readonly problem: string | null;
}

/** All in one transaction; where one stands in the way, each by itself. */
async function issueAll(
  db: Database,
  request: Request,
  running: Running,
  ready: readonly Ready[],
  failed: Outcome[],
): Promise<readonly Ready[]> {
  if (ready.length === 0) return [];
  try {
    await issueTogether(db, request, running, ready);
    return ready;
  } catch (error) {
    const one = ready[0];
    if (!isRefusal(error) || one === undefined) throw error;
    if (ready.length === 1) {
      one.prepared.discard();
      failed.push({ target: one.target, state: "failed", problem: problemOf(error) });
      return [];
    }
  }
  const issued: Ready[] = [];
  for (const one of ready) issued.push(...(await issueAll(db, request, running, [one], failed)));
  return issued;
}

function issueTogether(
  db: Database,
  request: Request,
  { id, terms, environment }: Running,
  ready: readonly Ready[],
): Promise<void> {
  return change(db, request, async (tx) => {
    // All at once, in the order in which verifiers note uses: each waiting for the other, agents would wait too.
    await lockIdentities(
      tx,
      ready.map(({ target }) => target.slug),
    );
    for (const { target, prepared } of ready) {
      // A secret that was lost is made anew, in the place of the one that this campaign issued; of no other.
      const { successor } = target;
      const lost = successor !== null && successor !== `mc_${prepared.commitment.publicId}`;
      const pending = lost ? await findCredential(tx, successor.slice(3)) : null;
      await rotateWithin(
        tx,
        request,
        {
          identity: target.slug,
          name: terms.name,
          scopes: terms.scopes,
          expiresIn: terms.expiresIn,
          activateWithin: terms.activateWithin,
          secret: prepared.commitment,
          replacePending: pending?.status === "pending",
          grace: terms.grace,
          expectCurrent: target.replaces.slice(3),
          compromised: false,
        },
        { environment, holders: { current: null, pending } },
      );
    }
    await setCampaignTargets(
      tx,
      id,
      ready.map(({ target, prepared }) => ({
        position: target.position,
        state: "issued",
        successor: `mc_${prepared.commitment.publicId}`,
        problem: null,
      })),
    );
  });
}

async function note(db: Database, request: Request, id: string, outcomes: readonly Outcome[]): Promise<void> {
  if (outcomes.length === 0) return;
  await change(db, request, (tx) =>
    setCampaignTargets(
      tx,
      id,
      outcomes.map(({ target, state, problem }) => ({
        position: target.position,
        state,
        successor: null,
        problem,
      })),
    ),
  );
}

/** What the database will not do for this target, as against one that cannot be asked. */
function isRefusal(error: unknown): error is MidctlError {
  return (
    error instanceof MidctlError &&
    !(error instanceof CommitUnknown) &&
    error.code !== "unavailable" &&
    error.code !== "internal"
  );
}

function problemOf(error: unknown): string {
  if (error instanceof MidctlError && error.code !== "unavailable" && error.code !== "internal")
    return error.message;
  throw error;
}
