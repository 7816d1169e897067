import { setTimeout as wait } from "node:timers/promises";
import type { Tx } from "../db/database.ts";
import { buryVerifier, readHolders, readTold } from "../repository/verifier.ts";
import { StandstillWatch } from "./verifier/standstill.ts";

/** How the verifiers let go of what a change ended (SPEC §8). */
export interface LetGo {
  /** Those that cached when the change was committed. */
  readonly verifiers: number;
  readonly acknowledged: number;
  /** Those whose lease ran out, or was given up, instead. */
  readonly expired: number;
  /** How long that was waited for. */
  readonly ms: number;
}

/** Between two looks at the leases, ms: doubled from the first to the last. */
const FIRST_LOOK = 1;
const LAST_LOOK = 25;

/**
 * Waits until every verifier has let go of what was changed so far, or its lease has run out: milliseconds with healthy
 * verifiers, a lease with a dead one. Nothing that starts to be decided after this is decided as before the change.
 * @param db after the change is committed; no transaction
 */
export async function awaitLetGo(db: Tx): Promise<LetGo> {
  const begun = performance.now();
  const told = await readTold(db);
  const watch = new StandstillWatch();
  let waited: ReadonlySet<string> | null = null;
  for (let pause = FIRST_LOOK; ; pause = Math.min(pause * 2, LAST_LOOK)) {
    const present = await readHolders(db, told);
    waited ??= new Set(present.map(({ id }) => id));
    const holding = present.filter(({ holds }) => holds);
    const dead = watch.observe(holding, performance.now());
    for (const verifier of dead) await buryVerifier(db, verifier);
    if (holding.length > dead.length) {
      await wait(pause);
      continue;
    }
    // Whose row is gone gave its lease up, or was buried by somebody else who waited.
    const acknowledged = present.filter(({ id, holds }) => !holds && waited?.has(id)).length;
    return {
      verifiers: waited.size,
      acknowledged,
      expired: waited.size - acknowledged,
      ms: Math.round((performance.now() - begun) * 10) / 10,
    };
  }
}
