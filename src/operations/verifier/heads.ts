import type { Tx } from "../../db/database.ts";
import { originOf } from "../../domain/checkpoint.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type KeptHead, supersedes, writeKeptHead } from "../../domain/kept-head.ts";
import { type LogHead, readLogHead, type SeenHead, treeOf } from "../../repository/tree.ts";
import { refuseBarred } from "../decide.ts";
import { type Grown, readGrowth, readRoot } from "../log-head.ts";
import { refuseLate, within } from "../patience.ts";
import { foreign, type HeadStore, requireHead } from "./head-file.ts";

/** ms until a head that was seen is in the store. */
const KEEP_WITHIN = 1_000;
/** ms until a store that failed, or one that may have been put back, is asked again. */
const ASK_AGAIN = 1_000;

/** How the log stands to the highest head that was seen of it. */
export type HeadStanding =
  /** `kept` is null as long as nothing was seen. */
  | { readonly kind: "good"; readonly kept: number | null }
  /** The database has forgotten: it is shorter than `kept`, or `forked`, other entries in the place of those. */
  | { readonly kind: "behind"; readonly kept: number; readonly size: number; readonly forked: boolean }
  /** The store cannot be read or written, or holds something else: nothing is decided rather than forgotten. */
  | { readonly kind: "unkept"; readonly kept: number | null; readonly why: string };

/** Thrown where the database has forgotten what it once said. */
export class BehindCheckpoint extends MidctlError {}

/**
 * Remembers the highest head of the log that this verifier has seen, and judges every reading of the database by it (SPEC §8):
 * a database that was restored from before a revocation would accept again what was revoked. Every statement that decides reads
 * the head in its own snapshot, so nothing is decided on a database that was put in the place of another between two looks.
 */
export class Heads {
  readonly #db: Tx;
  readonly #store: HeadStore;
  readonly #patience: number;
  readonly #warn: (text: string) => void;
  readonly #forget: () => void;
  #origin = "";
  #opening: Promise<void> | null = null;
  #opened = false;
  #closed = false;
  #kept: KeptHead | null = null;
  /** The reading that `kept` was made of: one that is the same need not be looked at. */
  #seen: LogHead | null = null;
  #trouble: Trouble | null = null;
  /** What was written to the store. */
  #stored: KeptHead | null = null;
  #keeping: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failure: { readonly error: unknown; readonly at: number } | null = null;
  #readAt = Number.NEGATIVE_INFINITY;

  /**
   * @param options.patience for each answer of database and store, ms
   * @param options.forget lets go of what is cached
   * @param options.warn told once whenever the log's standing changes for the worse or the better
   */
  constructor(
    db: Tx,
    store: HeadStore,
    options: { readonly patience: number; warn(text: string): void; forget(): void },
  ) {
    this.#db = db;
    this.#store = store;
    this.#patience = options.patience;
    this.#warn = options.warn;
    this.#forget = options.forget;
  }

  get standing(): HeadStanding {
    return this.#trouble ?? { kind: "good", kept: this.#kept?.size ?? null };
  }

  /** What every reading has to go on from that is asked for from now on; null for nothing. */
  get floor(): KeptHead | null {
    return this.#kept;
  }

  /**
   * To be awaited before the first question; null where that was done.
   * @throws MidctlError `usage`, `conflict` or `unavailable`: why nothing can be decided
   */
  open(): Promise<void> | null {
    if (this.#opened) return null;
    this.#refuseAgain();
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  /**
   * Returns where the reading goes on from `floor`, what was kept when it was asked for; at once where the log is as it was.
   * @throws BehindCheckpoint
   * @throws MidctlError `unavailable` where that could not be found out, and what the store throws
   */
  judge(reading: LogHead | null, floor: KeptHead | null): void | Promise<void> {
    if (this.#isSame(reading)) {
      this.#stand(null);
      return;
    }
    return this.#judge(reading, floor);
  }

  /** Looks at the log and judges it, as before a decision. Throws as `judge`, and where nothing may be decided here. */
  async check(): Promise<void> {
    await this.open();
    const floor = this.#kept;
    const head = await this.#readHead();
    await this.judge(head, floor);
  }

  /** Resolves when the store has what was seen so far, or could not take it. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    // One that is under way may be of an older head.
    await this.#keeping?.catch(() => undefined);
    if (this.#kept !== this.#stored) await this.#keep().catch(() => undefined);
  }

  async #open(): Promise<void> {
    const [head, text] = await Promise.all([this.#readHead(), this.#read()]);
    if (!head.mayProve) throw this.#fail(unproven());
    this.#origin = originOf(head.databaseId);
    this.#kept = text === null ? null : await this.#own(text);
    this.#opened = true;
  }

  async #judge(reading: LogHead | null, floor: KeptHead | null): Promise<void> {
    if (reading === null) throw noHead();
    const tree = treeOf(this.#db, reading);
    const grown: Grown =
      floor === null ? { growth: "goes_on", root: await readRoot(tree) } : await this.#compare(tree, floor);
    if (grown.growth !== "goes_on") {
      const accepted = await this.#readAgain();
      if (accepted !== floor && accepted !== null && accepted.accepted > (floor?.accepted ?? 0)) {
        return this.#judge(reading, accepted);
      }
      throw this.#refuse(tree.size, floor as KeptHead, grown.growth === "forked");
    }
    const { origin, accepted } = floor ?? { origin: this.#origin, accepted: 0 };
    this.#advance({ origin, size: tree.size, root: grown.root, accepted }, reading);
    // The first is in the store before anything is answered: one that takes nothing would remember nothing.
    if (this.#stored === null || this.#failure !== null) await this.#keepNow();
    else if (this.#kept !== this.#stored) this.#keepSoon();
    this.#stand(null);
  }

  async #compare(tree: ReturnType<typeof treeOf>, floor: KeptHead): Promise<Grown> {
    try {
      return await within(this.#patience, readGrowth(tree, floor), refuseLate);
    } catch (error) {
      if (error instanceof MidctlError) throw error;
      // Tiles that are missing: whatever it is, it is not the log that was seen.
      return { growth: "forked", root: Buffer.alloc(0) };
    }
  }

  #advance(head: KeptHead, reading: LogHead): void {
    const kept = this.#kept;
    const isSame = kept !== null && kept.accepted === head.accepted && kept.size === head.size;
    if (kept !== null && !isSame && !supersedes(head, kept)) return;
    if (!isSame) this.#kept = head;
    // Another reading of the same size and accepted from the same head may still be of another log.
    if (!isSame || kept.root.equals(head.root)) this.#seen = reading;
  }

  #isSame(reading: LogHead | null): boolean {
    const seen = this.#seen;
    return (
      seen !== null &&
      this.#failure === null &&
      reading !== null &&
      seen.size === reading.size &&
      seen.edge === reading.edge
    );
  }

  #keepSoon(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#keep().catch(() => undefined);
    }, KEEP_WITHIN);
    this.#timer.unref();
  }

  #keepNow(): Promise<void> {
    if (this.#keeping === null) this.#refuseAgain();
    return this.#keep();
  }

  #keep(): Promise<void> {
    this.#keeping ??= this.#write().finally(() => {
      this.#keeping = null;
    });
    return this.#keeping;
  }

  /** Writes what is kept here, and takes over what another verifier has seen beyond it. */
  async #write(): Promise<void> {
    const head = this.#kept;
    if (head === null) return;
    try {
      await within(this.#patience, this.#store.write(writeKeptHead(head)), lateStore);
      const text = await this.#read();
      const stored = text === null ? null : await this.#own(text);
      if (stored === null || supersedes(head, stored)) throw forgetful();
      this.#failure = null;
      this.#stored = head;
      // Of as many entries and other ones: the store is believed, and the database is looked at anew.
      if (stored.size === head.size && !stored.root.equals(head.root)) this.#take(stored);
      else this.#adopt(stored);
      if (this.#kept !== this.#stored) this.#keepSoon();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #adopt(head: KeptHead): void {
    if (this.#kept === null || supersedes(head, this.#kept)) this.#take(head);
  }

  #take(head: KeptHead): void {
    this.#kept = head;
    this.#stored = head;
    this.#seen = null;
  }

  /** Whether somebody has accepted that the database lost what was kept; asked once a second at most. */
  async #readAgain(): Promise<KeptHead | null> {
    if (performance.now() - this.#readAt >= ASK_AGAIN) {
      this.#readAt = performance.now();
      const text = await this.#read().catch((error: unknown) => {
        throw this.#fail(error);
      });
      if (text !== null) this.#adopt(await this.#own(text));
    }
    return this.#kept;
  }

  /** What is in the store, of this log. */
  async #own(text: string): Promise<KeptHead> {
    try {
      const head = requireHead(text, "What is kept as the log's head");
      if (head.origin !== this.#origin) throw foreign(null, head.origin, this.#origin);
      return head;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #read(): Promise<string | null> {
    return within(this.#patience, this.#store.read(), lateStore).catch((error: unknown) => {
      throw this.#fail(error);
    });
  }

  async #readHead(): Promise<SeenHead> {
    const head = await within(this.#patience, readLogHead(this.#db), refuseLate);
    if (head === null) throw noHead();
    if (head.barred !== null) throw refuseBarred(head.barred);
    return head;
  }

  /** The store is not asked again at once by everybody who comes. */
  #refuseAgain(): void {
    const failure = this.#failure;
    if (failure !== null && performance.now() - failure.at < ASK_AGAIN) throw failure.error;
  }

  #fail(error: unknown): unknown {
    if (this.#failure?.error === error) return error;
    this.#failure = { error, at: performance.now() };
    const why = error instanceof MidctlError ? error.message : "The store of the log's head failed.";
    this.#stand({ kind: "unkept", kept: this.#kept?.size ?? null, why });
    return error;
  }

  #refuse(size: number, floor: KeptHead, forked: boolean): BehindCheckpoint {
    this.#stand({ kind: "behind", kept: floor.size, size, forked });
    return new BehindCheckpoint("unavailable", describe(size, floor.size, forked), {
      hint: REMEDY,
      details: { size, kept: floor.size, forked },
    });
  }

  #stand(trouble: Trouble | null): void {
    const before = this.#trouble;
    if (trouble === null && before === null) return;
    this.#trouble = trouble;
    if (trouble !== null) this.#forget();
    if (trouble?.kind === before?.kind) return;
    if (trouble === null)
      this.#warn("The log goes on from the head that was kept; tokens are decided on again.");
    else if (trouble.kind === "unkept") this.#warn(trouble.why);
    else this.#warn(`${describe(trouble.size, trouble.kept, trouble.forked)} ${REMEDY}`);
  }
}

type Trouble = Exclude<HeadStanding, { kind: "good" }>;

const REMEDY =
  'Give the database what it lost, or accept that it is lost: docs/evidence.md, "A restored backup".';

/** What has happened to a database that is behind the head that was kept, as a sentence. */
function describe(size: number, kept: number, forked: boolean): string {
  return forked
    ? `The log has ${size} entries, and its first ${kept} are not those that were seen: the database was restored from before and has gone on, or was rewritten; no token is decided on (behind_checkpoint).`
    : `The log has ${size} entries, and ${kept} were seen: the database was restored from before, or failed over without its last changes; no token is decided on (behind_checkpoint).`;
}

function noHead(): MidctlError {
  return new MidctlError("unavailable", "The log has no head; no token was decided on.", {
    hint: "midctl doctor looks at the database.",
  });
}

function unproven(): MidctlError {
  return new MidctlError(
    "denied",
    "This database role may not read the tree of the log (midctl_log_tile), so a restored backup would go unnoticed; no token is decided on.",
    { hint: "The owner gives it the right: midctl db grant --role verifier NAME" },
  );
}

function lateStore(): never {
  throw new MidctlError(
    "unavailable",
    "The store of the log's head did not answer in time; no token is decided on.",
  );
}

function forgetful(): MidctlError {
  return new MidctlError(
    "unavailable",
    "The store of the log's head does not hold what was written to it; no token is decided on.",
    { hint: "Two stores, or none that is durable: give one that keeps what it was given." },
  );
}
