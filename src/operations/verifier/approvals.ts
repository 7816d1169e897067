import type { Tx } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import type { TrustSource } from "../approval/trust-dir.ts";
import type { Looked } from "../decide.ts";
import type { DecisionCache } from "./cache.ts";
import { Receipts } from "./receipts.ts";

/**
 * Holds a verifier to its trust root: nothing is accepted but what that approves of, and nothing is kept that was decided
 * under another.
 */
export class Approvals {
  readonly #source: TrustSource;
  readonly #cache: DecisionCache;
  readonly #receipts: Receipts;
  #root: TrustRoot | null = null;
  #generation = Number.NaN;

  constructor(db: Tx, source: TrustSource, cache: DecisionCache, patience: number) {
    this.#source = source;
    this.#cache = cache;
    this.#receipts = new Receipts(db, { patience });
  }

  get counters(): Receipts["counters"] {
    return this.#receipts.counters;
  }

  /** The root to decide by now, or null: nothing can be decided. Where it is another, the cache is emptied. */
  root(): TrustRoot | null {
    let root: TrustRoot | null = null;
    let generation = Number.NaN;
    try {
      root = this.#source.current();
      generation = this.#source.generation;
    } catch {
      // A source of a host's own that throws is none to be believed.
      root = null;
    }
    if (root !== this.#root || generation !== this.#generation) {
      this.#root = root;
      this.#generation = generation;
      this.#cache.clear();
    }
    return root;
  }

  /**
   * As `Receipts.judge`, by the root that is in force when it returns.
   * @param again how often it may be another by then
   * @throws MidctlError `unavailable` where there is none, or another each time; or the database cannot be asked
   */
  judge(hash: string, looked: Looked, scope: string | null, again = AGAIN): Looked | Promise<Looked> {
    const root = this.root();
    if (root === null || again === 0) throw untrusted();
    const judged = this.#receipts.judge(root, hash, looked, scope);
    if (!(judged instanceof Promise)) return judged;
    return judged.then((later) =>
      this.root() === root ? later : this.judge(hash, looked, scope, again - 1),
    );
  }
}

/** A trust root that is another at every look is none to decide by. */
const AGAIN = 5;

function untrusted(): MidctlError {
  return new MidctlError(
    "unavailable",
    "The trust directory is not understood as it is; no token was decided on.",
    { hint: "Put the trust directory right; it is looked at again within a second." },
  );
}
