/**
 * What a log had decided that a database no longer knows, by the entries that it lost: what is to be revoked, paused, to end sooner
 * or to be idle for less again. What widened anybody's reach is not brought back.
 */

export type Wish = "revoke" | "pause" | "expire" | "idle";

export interface ForgottenStep {
  readonly kind: "identity" | "credential" | "token";
  readonly publicId: string;
  readonly does: Wish;
  /** RFC 3339, of `expire`. */
  readonly expiresAt: string | null;
  /** Seconds, of `idle`. */
  readonly idleTtl: number | null;
  /** The entry that decided it, its index, action and time. */
  readonly entry: number;
  readonly action: string;
  readonly at: string;
}

interface Said {
  readonly index: number;
  readonly action: string;
  readonly at: string;
  readonly identity: string | null;
  readonly credential: string | null;
  readonly token: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What ends for ever: a superseded or abandoned credential had ended as well, and its successor is not known. */
const FINAL = new Set(["revoke", "supersede", "abandon"]);
/** Of which nothing is lost that would let anybody in, and which follow from others. */
const IDLE = new Set(["credential.activate", "events.seal"]);

/** Reads lost entries in their order. */
export class Forgotten {
  /** How each came to stand, and, apart from that, when it was to end and how long it might be idle. */
  readonly #standings = new Map<string, ForgottenStep>();
  readonly #ends = new Map<string, ForgottenStep>();
  readonly #idles = new Map<string, ForgottenStep>();
  readonly #born = new Set<string>();
  readonly #others = new Map<string, number>();
  /** Entries read. */
  count = 0;

  /** @param entry its exact text */
  take(entry: string): void {
    const said = JSON.parse(entry) as Said;
    this.count++;
    if (IDLE.has(said.action)) return;
    const [noun = "", verb = ""] = said.action.split(".");
    const publicId =
      noun === "identity" ? said.identity : noun === "credential" ? said.credential : said.token;
    if ((noun !== "identity" && noun !== "credential" && noun !== "token") || publicId === null) {
      this.#other(said.action);
      return;
    }
    const key = `${noun} ${publicId}`;
    if (verb === "create" || verb === "issue" || verb === "adopt") this.#born.add(key);
    // An unborn one's token is unknown, and refused as it is.
    if (this.#born.has(key)) this.#other(said.action);
    else this.#decide(key, noun, publicId, verb, said);
  }

  /** What is to be done again, identities first: with one of these its credentials end. */
  steps(): ForgottenStep[] {
    const order = { identity: 0, credential: 1, token: 2 };
    const others = [...this.#ends, ...this.#idles].flatMap(([key, step]) =>
      this.#standings.get(key)?.does === "revoke" ? [] : [step],
    );
    return [...this.#standings.values(), ...others].sort(
      (a, b) => order[a.kind] - order[b.kind] || a.entry - b.entry,
    );
  }

  /** How many entries there are of each action that is not brought back. */
  others(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#others].sort());
  }

  #decide(key: string, kind: ForgottenStep["kind"], publicId: string, verb: string, said: Said): void {
    const { index: entry, action, at, details } = said;
    const step = { kind, publicId, expiresAt: null, idleTtl: null, entry, action, at };
    const before = this.#standings.get(key)?.does;
    const isUpdate = verb === "update" && kind === "identity";
    const end = isUpdate ? afterOf(details.expiresAt) : undefined;
    const idle = isUpdate ? afterOf(details.idleTtl) : undefined;
    // A life may have become longer again: the last word counts, and where that is longer than what the database has it is let be.
    if (idle !== undefined) this.#idles.delete(key);
    if (typeof idle === "number") this.#idles.set(key, { ...step, does: "idle", idleTtl: idle });
    if (FINAL.has(verb)) {
      if (before !== "revoke") this.#standings.set(key, { ...step, does: "revoke" });
    } else if (verb === "pause") this.#standings.set(key, { ...step, does: "pause" });
    // An end is only ever brought forward.
    else if (typeof end === "string") this.#ends.set(key, { ...step, does: "expire", expiresAt: end });
    else if (typeof idle !== "number") {
      if (verb === "resume" && before === "pause") this.#standings.delete(key);
      this.#other(action);
    }
  }

  #other(action: string): void {
    this.#others.set(action, (this.#others.get(action) ?? 0) + 1);
  }
}

/** What a change of a field, `[before, after]`, set it to; undefined where it was not changed. */
function afterOf(change: unknown): unknown {
  return Array.isArray(change) ? change[1] : undefined;
}
