/**
 * What a log had decided that a database no longer knows, by the entries that it lost: what is to be revoked, paused or to end
 * sooner again. What widened anybody's reach is not brought back.
 */

export type Wish = "revoke" | "pause" | "expire";

export interface ForgottenStep {
  readonly kind: "identity" | "credential" | "token";
  readonly publicId: string;
  readonly does: Wish;
  /** RFC 3339, of `expire`. */
  readonly expiresAt: string | null;
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
  /** How each came to stand, and, apart from that, when it was to end. */
  readonly #standings = new Map<string, ForgottenStep>();
  readonly #ends = new Map<string, ForgottenStep>();
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
    const ends = [...this.#ends].flatMap(([key, step]) =>
      this.#standings.get(key)?.does === "revoke" ? [] : [step],
    );
    return [...this.#standings.values(), ...ends].sort(
      (a, b) => order[a.kind] - order[b.kind] || a.entry - b.entry,
    );
  }

  /** How many entries there are of each action that is not brought back. */
  others(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#others].sort());
  }

  #decide(key: string, kind: ForgottenStep["kind"], publicId: string, verb: string, said: Said): void {
    const { index: entry, action, at, details } = said;
    const step = { kind, publicId, expiresAt: null, entry, action, at };
    const before = this.#standings.get(key)?.does;
    const end = verb === "update" && kind === "identity" ? sooner(details) : null;
    if (FINAL.has(verb)) {
      if (before !== "revoke") this.#standings.set(key, { ...step, does: "revoke" });
    } else if (verb === "pause") this.#standings.set(key, { ...step, does: "pause" });
    else if (end !== null) this.#ends.set(key, { ...step, does: "expire", expiresAt: end });
    else {
      if (verb === "resume" && before === "pause") this.#standings.delete(key);
      this.#other(action);
    }
  }

  #other(action: string): void {
    this.#others.set(action, (this.#others.get(action) ?? 0) + 1);
  }
}

/** The end that an update set; an end is only ever brought forward. */
function sooner({ expiresAt }: Readonly<Record<string, unknown>>): string | null {
  const after: unknown = Array.isArray(expiresAt) ? expiresAt[1] : null;
  return typeof after === "string" ? after : null;
}
