import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { BATCH_MOST, countUnsealed, sealBatch } from "../repository/seal.ts";
import {
  abandonOverdue,
  countDue,
  countExpired,
  countForsaken,
  type Expired,
  pauseIdle,
  revokeForsaken,
  type Swept,
} from "../repository/sweep.ts";
import { change, type Request } from "./change.ts";

/** Rows of one transaction: whoever wants one of them waits no longer than it lasts. */
const BATCH = 200;

/** What ended within so many seconds counts as expired: a day. */
export const EXPIRED_WITHIN = 86_400;

/** Sooner than this, in seconds, a pause for idleness is never followed by revocation. */
export const SOONEST_REVOCATION = 3_600;

export interface SweepOptions {
  /** Revokes what has been paused for idleness for so many seconds, at least an hour; null leaves it paused. */
  readonly revokeIdleAfter: number | null;
  /** Called after each transaction that stands. */
  readonly onStored?: () => void;
}

export interface SweepDone {
  /** Pending credentials whose deadline had passed. */
  readonly abandoned: number;
  /** Identities that were idle past their idle life. */
  readonly paused: number;
  /** Identities that had been paused for idleness for that long. */
  readonly revoked: number;
  /** Identities that were due for revocation and were left paused: a protected environment wants an approval for it. */
  readonly heldBack: number;
  /** Agent events that waited to be sealed. */
  readonly sealed: number;
  /** What expired within `expiredWithin` seconds: computed, never stored. */
  readonly expired: Expired;
  readonly expiredWithin: number;
}

/**
 * Stores what the clock has decided (SPEC §3): in many short transactions, each of them whole, so that an interruption loses
 * nothing, and passing over what others hold, so that any number of sweeps at once neither wait nor do anything twice. On a dry
 * run counts what is due, and tries a transaction of each kind.
 * @throws MidctlError as any change does; what was stored before stands
 */
export async function sweep(db: Database, request: Request, options: SweepOptions): Promise<SweepDone> {
  const after = options.revokeIdleAfter;
  const dryRun = request.dryRun === true;
  const due = dryRun ? await countDue(db, after) : null;
  const store = async (batch: (tx: Tx) => Promise<Swept[]>): Promise<number> => {
    let stored = 0;
    for (;;) {
      const { length } = await change(db, request, batch);
      stored += length;
      if (length > 0 && !dryRun) options.onStored?.();
      if (length < BATCH || dryRun) return stored;
    }
  };
  const abandoned = await store((tx) => abandonOverdue(tx, BATCH));
  const paused = await store((tx) => pauseIdle(tx, BATCH));
  let revoked = 0;
  let heldBack = 0;
  if (after !== null) {
    try {
      revoked = await store((tx) => revokeForsaken(tx, after, BATCH));
      if (due !== null) revoked = due.revoked;
    } catch (error) {
      if (!(error instanceof MidctlError) || error.code !== "approval_required") throw error;
      heldBack = await countForsaken(db, after);
    }
  }
  return {
    abandoned: due?.abandoned ?? abandoned,
    paused: due?.paused ?? paused,
    revoked,
    heldBack,
    sealed: await sealWaiting(db, request, options),
    expired: await countExpired(db, EXPIRED_WITHIN),
    expiredWithin: EXPIRED_WITHIN,
  };
}

async function sealWaiting(db: Database, request: Request, { onStored }: SweepOptions): Promise<number> {
  const dryRun = request.dryRun === true;
  const waiting = dryRun ? await countUnsealed(db) : 0;
  for (let all = 0; ; ) {
    const { taken, sealed } = await change(db, request, (tx) => sealBatch(tx, 0));
    if (dryRun) return waiting;
    all += sealed;
    if (taken > 0) onStored?.();
    if (taken < BATCH_MOST) return all;
  }
}
