import type { Tx } from "../db/database.ts";
import { BATCH_MOST, sealBatch } from "../repository/seal.ts";

/**
 * Seals the agent events that wait: an entry of the log for each batch of up to 10,000, with the root over it. Outside of a
 * transaction each batch is one of its own; within one, all of it is. Where somebody else seals at the same moment, that one
 * does it. Returns how many were sealed.
 */
export async function sealEvents(tx: Tx): Promise<number> {
  for (let all = 0; ; ) {
    const { taken, sealed } = await sealBatch(tx, 0);
    all += sealed;
    if (taken < BATCH_MOST) return all;
  }
}

/** One batch, where an event has waited for so many milliseconds: for whoever asks again and again. */
export async function sealRipeEvents(tx: Tx, ripe: number): Promise<void> {
  await sealBatch(tx, ripe);
}
