import type { Database } from "../../db/database.ts";
import { type RefusedUses, recordRefusedUses, recordUses } from "../../repository/use.ts";
import type { RefusalCode } from "../decide.ts";

/** How long uses are gathered before they are written, ms. */
const GATHER = 250;

/** So many tokens in one transaction at most: each is a row lock until it ends. */
const BATCH = 500;

/**
 * Uses to be noted, gathered and written behind the answers: a decision waits for none of it, and a use that cannot be
 * noted is still a use.
 */
export class Uses {
  readonly #db: Database;
  readonly #used = new Set<string>();
  readonly #refused = new Map<string, { code: RefusalCode; uses: number }>();
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(db: Database) {
    this.#db = db;
  }

  /** A good token was used. */
  note(publicId: string): void {
    this.#used.add(publicId);
    this.#schedule();
  }

  /** A token with the right secret was refused. */
  noteRefused(publicId: string, code: RefusalCode): void {
    const known = this.#refused.get(publicId);
    this.#refused.set(publicId, { code, uses: (known?.uses ?? 0) + 1 });
    this.#schedule();
  }

  /** Writes what was gathered; resolves when all that was noted so far is written, or could not be. */
  async settle(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  #schedule(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#write(), GATHER);
    this.#timer.unref();
  }

  #write(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const used = [...this.#used].sort();
    const refused: RefusedUses[] = [...this.#refused].map(([publicId, { code, uses }]) => ({
      publicId,
      code,
      uses,
    }));
    this.#used.clear();
    this.#refused.clear();
    if (used.length === 0 && refused.length === 0) return;
    this.#writing = this.#writing.then(() => this.#writeAll(used, refused));
  }

  async #writeAll(used: readonly string[], refused: readonly RefusedUses[]): Promise<void> {
    for (let at = 0; at < used.length; at += BATCH) {
      await this.#attempt((tx) => recordUses(tx, used.slice(at, at + BATCH)));
    }
    if (refused.length > 0) await this.#attempt((tx) => recordRefusedUses(tx, refused));
  }

  async #attempt(work: Parameters<Database["transaction"]>[0]): Promise<void> {
    await this.#db.transaction(work).catch(() => undefined);
  }
}
