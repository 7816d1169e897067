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
  readonly #steps = new Map<string, ForgottenStep>();
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
    return [...this.#steps.values()].sort((a, b) => order[a.kind] - order[b.kind] || a.entry - b.entry);
  }

  /** How many entries there are of each action that is not brought back. */
  others(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#others].sort());
  }

  #decide(key: string, kind: ForgottenStep["kind"], publicId: string, verb: string, said: Said): void {
    const { index: entry, action, at, details } = said;
    const step = (does: Wish, expiresAt: string | null = null): void => {
      this.#steps.set(key, { kind, publicId, does, expiresAt, entry, action, at });
    };
    const before = this.#steps.get(key)?.does;
    if (FINAL.has(verb)) {
      if (before !== "revoke") step("revoke");
    } else if (verb === "pause") step("pause");
    else if (verb === "resume") {
      if (before === "pause") this.#steps.delete(key);
      this.#other(action);
    } else if (verb === "update" && kind === "identity" && typeof sooner(details) === "string") {
      if (before === undefined || before === "expire") step("expire", sooner(details));
    } else this.#other(action);
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
