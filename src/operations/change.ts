import { setTimeout as wait } from "node:timers/promises";
import type { Database, Tx } from "../db/database.ts";
import { CommitUnknown } from "../db/failure.ts";
import { MidctlError } from "../domain/errors.ts";
import { type Claim, checkDeferred, claimTransaction, readFate } from "../repository/claim.ts";

/** Who asks for a change, why, and whether it is only to be tried. */
export interface Request extends Claim {
  /** Runs the real transaction, deferred checks included, and rolls it back. */
  readonly dryRun?: boolean;
  /** Returns when the change is committed, without waiting until every verifier has let go (SPEC §8). */
  readonly noWait?: boolean;
  /** Called once the change stands, before verifiers are waited for. */
  readonly onCommitted?: () => void;
  /** What the same transaction does before and after: the line of an approved plan that it uses up. */
  readonly envelope?: Envelope;
}

export interface Envelope {
  /** Runs before the work, and again with it where the transaction is tried again. */
  open(tx: Tx): Promise<void>;
  close?(tx: Tx): Promise<void>;
}

/** How often, and how far apart in ms, the fate of a transaction is asked for after its COMMIT went unanswered. */
const ASKED = 20;
const APART = 250;

/**
 * The one way in which anything changes: one transaction that says who acts, so that change and log entry exist
 * together or not at all; on a dry run rolled back. As `commitKnowingly` and `rehearse` otherwise.
 */
export function change<T>(db: Database, request: Request, work: (tx: Tx) => Promise<T>): Promise<T> {
  const claimed = async (tx: Tx) => {
    const transaction = await claimTransaction(tx, request);
    await request.envelope?.open(tx);
    const result = await work(tx);
    await request.envelope?.close?.(tx);
    return { transaction, result };
  };
  if (request.dryRun === true) return rehearse(db, async (tx) => (await claimed(tx)).result);
  return commitKnowingly(db, claimed);
}

/** Runs the real transaction, deferred checks included, rolls it back and returns what it came to. */
export async function rehearse<T>(db: Database, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(async (tx) => {
      const result = await work(tx);
      await checkDeferred(tx);
      throw new RolledBack(result);
    });
  } catch (error) {
    if (error instanceof RolledBack) return error.result as T;
    throw error;
  }
}

/** What a transaction came to. */
interface Attempt<T> {
  /** Its id, by which its fate can be asked; null where it changed nothing that must be known. */
  readonly transaction: string | null;
  readonly result: T;
}

/**
 * A transaction whose end is known. Where the connection is lost during COMMIT, the server is asked what became of it:
 * committed counts as done, unless the server was started since, aborted is `unavailable` with nothing changed; only if nobody answers does it stay unknown.
 */
export async function commitKnowingly<T>(db: Database, work: (tx: Tx) => Promise<Attempt<T>>): Promise<T> {
  let attempt: Attempt<T> | null = null;
  const began = performance.now();
  try {
    const { result } = await db.transaction(async (tx) => {
      attempt = null;
      attempt = await work(tx);
      return attempt;
    });
    return result;
  } catch (error) {
    // Narrowing does not see the assignment inside the callback.
    const sent = attempt as Attempt<T> | null;
    if (!(error instanceof CommitUnknown) || sent === null) throw error;
    if (sent.transaction === null || (await committed(db, sent.transaction, { unknown: error, began })))
      return sent.result;
    throw new MidctlError(
      "unavailable",
      "The connection was lost during COMMIT, and the change did not happen; nothing was changed.",
      {
        hint: "Run the command again.",
        details: { commit: "aborted" },
        cause: error,
      },
    );
  }
}

/**
 * A server that was started since may have forgotten the transaction, and given its id to another one: that this one committed
 * says nothing then.
 */
async function committed(
  db: Database,
  transaction: string,
  { unknown, began }: { readonly unknown: CommitUnknown; readonly began: number },
): Promise<boolean> {
  for (let asked = 0; asked < ASKED; asked++) {
    const answer = await readFate(db, transaction).catch(() => "unreachable" as const);
    if (answer !== "unreachable") {
      const { fate, uptime } = answer ?? { fate: null, uptime: 0 };
      if (fate === "aborted") return false;
      if (fate === null || (fate === "committed" && uptime < performance.now() - began)) throw unknown;
      if (fate === "committed") return true;
    }
    await wait(APART);
  }
  throw unknown;
}

/** Carries a dry run's result past the rollback. */
class RolledBack extends Error {
  readonly result: unknown;
  constructor(result: unknown) {
    super("rolled back as asked");
    this.result = result;
  }
}
