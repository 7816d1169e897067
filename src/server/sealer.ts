import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { sealRipeEvents } from "../operations/events-seal.ts";

/**
 * How often is looked whether agent events wait, and how long one has waited when it is sealed, ms: together with the work well
 * below a second, and no more than two entries of the log a second however many servers there are.
 */
const EVERY = 250;
const RIPE = 500;

/** Seals what agents did as long as the server runs. Nobody waits for it, and what it cannot seal now it seals later. */
export class Sealer {
  readonly #db: Tx;
  readonly #report: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;
  #sealing: Promise<void> = Promise.resolve();
  #failed = false;
  #stopped = false;

  /** @param report told once of what goes wrong until it is well again, and not of a database that is away: that shows elsewhere */
  constructor(db: Tx, report: (error: unknown) => void) {
    this.#db = db;
    this.#report = report;
    this.#schedule();
  }

  /** Begins no more; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#sealing;
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#sealing = this.#seal().finally(() => this.#schedule());
    }, EVERY);
    this.#timer.unref();
  }

  async #seal(): Promise<void> {
    try {
      await sealRipeEvents(this.#db, RIPE);
      this.#failed = false;
    } catch (error) {
      if (this.#failed || (error instanceof MidctlError && error.code === "unavailable")) return;
      this.#failed = true;
      this.#report(error);
    }
  }
}
