import { setImmediate as turn } from "node:timers/promises";
import type { Database } from "../../db/database.ts";
import { type CampaignTarget, setCampaignTargets } from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { withdrawCredential } from "../credential-issue.ts";
import type { Delivery, Issuer, Outcome, Prepared, Ready, Running } from "./delivery.ts";
import { isRefusal } from "./issue.ts";
import { refuseStrangers } from "./standing.ts";

/** Targets that are rotated together, with their secrets. */
export interface Chunk {
  /** What was used was delivered, whatever the journal had time to say. */
  readonly proven: readonly CampaignTarget[];
  readonly ready: readonly Ready[];
  readonly failed: readonly Outcome[];
  /** What stops the whole run; null where nothing does. */
  readonly broken: unknown;
}

/** Never fails: what kept a secret from being made is said when its turn comes. */
export async function prepareChunk(
  { id, environment }: Running,
  chunk: readonly CampaignTarget[],
  delivery: Delivery,
): Promise<Chunk> {
  const proven = chunk.filter((target) => target.state === "issued" && target.proven);
  const left = chunk.filter((target) => !proven.includes(target));
  const begun: Promise<Prepared>[] = [];
  for (const target of left) {
    const one = delivery.prepare(target, id, environment);
    // Looked at below; until then its failure is nobody's.
    one.catch(() => {});
    begun.push(one);
    // One by one: the statements of those before are answered in between.
    await turn();
  }
  const made = await Promise.allSettled(begun);
  const ready: Ready[] = [];
  const failed: Outcome[] = [];
  let broken: unknown = null;
  for (const [at, target] of left.entries()) {
    const one = made[at];
    if (one?.status === "fulfilled") ready.push({ target, prepared: one.value });
    else if (isRefusal(one?.reason))
      failed.push({ target, state: stateOf(target), problem: one.reason.message });
    else broken ??= one?.reason;
  }
  return { proven, ready, failed, broken };
}

/** One that was made ahead, at its turn: what had no room while those before it were on their way is tried again. */
export async function completeChunk(running: Running, chunk: Chunk, delivery: Delivery): Promise<Chunk> {
  if (chunk.failed.length === 0 || chunk.broken !== null) return chunk;
  const again = await prepareChunk(
    running,
    chunk.failed.map(({ target }) => target),
    delivery,
  );
  return { ...again, proven: chunk.proven, ready: [...chunk.ready, ...again.ready] };
}

/** What became of each of a chunk. */
export async function rotateChunk(
  db: Database,
  request: Request,
  { id }: Running,
  chunk: Chunk,
  { issuer, delivery }: { readonly issuer: Issuer; readonly delivery: Delivery },
): Promise<readonly Outcome[]> {
  if (chunk.broken !== null) throw chunk.broken;
  const { ready } = chunk;
  const failed = [...chunk.failed];
  const proven = chunk.proven.map((target) => ({ target, state: "delivered" as const, problem: null }));
  await note(db, request, id, proven);
  const { free, taken } = await refuseStrangers(db, ready);
  for (const [{ target, prepared }, { message }] of taken) {
    if (target.state !== "issued") prepared.discard();
    failed.push({ target, state: stateOf(target), problem: message });
  }
  const issued = await issuer.issue(await settled(delivery, free, failed, stateOf), failed);
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
  // Whether a delivery outlasts a power failure is not known then, and the next run finds out.
  const kept = await settled(delivery, delivered, failed, () => "issued");
  const outcomes = kept.map(({ target }) => ({ target, state: "delivered" as const, problem: null }));
  const written = await note(db, request, id, [...outcomes, ...failed]);
  for (const { prepared } of kept) prepared.forget();
  return [...proven, ...outcomes, ...failed.filter(({ target }) => written.has(target.position))];
}

/** All of them, once they are on disk; none where the disk refuses, and then they are `failed`, in a state that the next run goes on from. */
async function settled(
  delivery: Delivery,
  ready: readonly Ready[],
  failed: Outcome[],
  state: (target: CampaignTarget) => Outcome["state"],
): Promise<readonly Ready[]> {
  try {
    await delivery.settle();
    return ready;
  } catch (error) {
    const problem = problemOf(error);
    failed.push(...ready.map(({ target }) => ({ target, state: state(target), problem })));
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
  if (isRefusal(error)) return error.message;
  throw error;
}
