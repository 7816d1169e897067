/**
 * What a log had decided that a database no longer knows, by the entries that it lost: what is to be revoked, paused, to end sooner
 * or to be idle for less again, and what else had narrowed anybody's reach. What widened it is not brought back.
 */
import { type ForgottenLimit, ForgottenLimits } from "./forgotten-limits.ts";
import { afterOf, type LostEntry } from "./lost-entry.ts";

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
  /** Who did it, and why, as far as it says. */
  readonly actor: string | null;
  readonly reason: string | null;
  /** The public id of the identity it is about, or whose credential. */
  readonly identity: string | null;
  /** Whether lost entries made it: it is there only if somebody made it again, as who gives the same token file does. */
  readonly isBorn: boolean;
}

type Decision = Omit<ForgottenStep, "isBorn">;

/** What ends for ever: a superseded or abandoned credential had ended as well, and its successor is not known. */
const FINAL = new Set(["revoke", "supersede", "abandon"]);
/** Of which nothing is lost that would let anybody in, and which follow from others. */
const IDLE = new Set(["credential.activate", "events.seal"]);
/** What ends anything comes first, and of that identities: with one of these its credentials end. */
const ORDER = { revoke: 0, pause: 1, expire: 2, idle: 2 };
const KINDS = { identity: 0, credential: 1, token: 2 };

/** The order in which steps are done again. */
export function byUrgency(a: Decision, b: Decision): number {
  return ORDER[a.does] - ORDER[b.does] || KINDS[a.kind] - KINDS[b.kind] || a.entry - b.entry;
}

/** Reads lost entries in their order. */
export class Forgotten {
  /** How each came to stand, and, apart from that, when it was to end and how long it might be idle. */
  readonly #standings = new Map<string, Decision>();
  readonly #ends = new Map<string, Decision>();
  readonly #idles = new Map<string, Decision>();
  readonly #born = new Set<string>();
  /** Legacy tokens that became credentials of an identity's, by its public id: the tokens themselves there were before. */
  readonly #adopted = new Map<string, string>();
  /** What halted or bounded an adopted token, or an identity: a legacy token cannot be. */
  readonly #bounds = new Map<string, LostEntry>();
  readonly #limits = new ForgottenLimits();
  readonly #others = new Map<string, number>();
  /** Entries read. */
  count = 0;

  /** @param entry its exact text */
  take(entry: string): void {
    const said = JSON.parse(entry) as LostEntry;
    this.count++;
    const isLimit = this.#limits.take(said);
    if (IDLE.has(said.action)) return;
    const [noun = "", verb = ""] = said.action.split(".");
    const publicId =
      noun === "identity" ? said.identity : noun === "credential" ? said.credential : said.token;
    if ((noun !== "identity" && noun !== "credential" && noun !== "token") || publicId === null) {
      if (!isLimit) this.#other(said.action);
      return;
    }
    const key = `${noun} ${publicId}`;
    this.#bound(key, verb, said);
    if (said.action === "credential.adopt") this.#adopted.set(publicId, said.identity ?? "");
    else if (verb === "create" || verb === "issue" || verb === "adopt") this.#born.add(key);
    if (noun === "identity" && FINAL.has(verb)) this.#endAdopted(publicId, said);
    if (noun === "credential" && this.#adopted.has(publicId)) {
      if (FINAL.has(verb)) this.#end({ ...said, credential: null }, "token", publicId);
    } else this.#decide(key, noun, publicId, verb, said, isLimit);
  }

  /** What is to be done again, in this order. */
  steps(): ForgottenStep[] {
    const others = [...this.#ends, ...this.#idles].flatMap(([key, step]) =>
      this.#standings.get(key)?.does === "revoke" ? [] : [step],
    );
    return [...this.#standings.values(), ...others, ...this.#bounded()]
      .map((step) => ({ ...step, isBorn: this.#born.has(`${step.kind} ${step.publicId}`) }))
      .sort(byUrgency);
  }

  /** What else had narrowed anybody's reach, and is for people to do again. */
  limits(): ForgottenLimit[] {
    const bounded = new Set(this.#bounded().map(({ publicId }) => publicId));
    return this.#limits.all(
      (token) => bounded.has(token) || this.#standings.get(`token ${token}`)?.does === "revoke",
    );
  }

  /** How many entries there are of each action that is not brought back, and had narrowed nothing. */
  others(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#others].sort());
  }

  /** An identity that was born with a parent or an end is bounded from the beginning. */
  #bound(key: string, verb: string, said: LostEntry): void {
    const { parent, expiresAt, idleTtl } = said.details;
    const isBorn = verb === "create" && (parent ?? expiresAt ?? idleTtl) != null;
    const isNarrowed = typeof (afterOf(expiresAt) ?? afterOf(idleTtl)) !== "undefined";
    if (isBorn || (verb === "update" && isNarrowed) || (verb === "pause" && !this.#bounds.has(key)))
      this.#bounds.set(key, said);
    // An end that was set as well stays.
    else if (verb === "resume" && this.#bounds.get(key)?.action.endsWith(".pause") === true)
      this.#bounds.delete(key);
  }

  /** Adopted tokens that did not work without bounds at the end: as legacy tokens they would, so they end. */
  #bounded(): Decision[] {
    return [...this.#adopted].flatMap(([token, identity]) => {
      const said = this.#bounds.get(`credential ${token}`) ?? this.#bounds.get(`identity ${identity}`);
      if (said === undefined || this.#standings.has(`token ${token}`)) return [];
      return [{ ...stepOf(said, "token", token), does: "revoke" as const }];
    });
  }

  /** With an identity end the tokens that it had adopted: of these, credentials or not, there is a row. */
  #endAdopted(identity: string, said: LostEntry): void {
    for (const [token, owner] of this.#adopted) if (owner === identity) this.#end(said, "token", token);
  }

  #end(said: LostEntry, kind: ForgottenStep["kind"], publicId: string): void {
    const key = `${kind} ${publicId}`;
    if (this.#standings.get(key)?.does === "revoke") return;
    this.#standings.set(key, { ...stepOf(said, kind, publicId), does: "revoke" });
  }

  #decide(
    key: string,
    kind: ForgottenStep["kind"],
    publicId: string,
    verb: string,
    said: LostEntry,
    isLimit: boolean,
  ): void {
    const step = stepOf(said, kind, publicId);
    const before = this.#standings.get(key)?.does;
    const isUpdate = verb === "update" && kind === "identity";
    const end = isUpdate ? afterOf(said.details.expiresAt) : undefined;
    const idle = isUpdate ? afterOf(said.details.idleTtl) : undefined;
    // A life may have become longer again: the last word counts, and where that is longer than what the database has it is let be.
    if (idle !== undefined) this.#idles.delete(key);
    if (typeof idle === "number") this.#idles.set(key, { ...step, does: "idle", idleTtl: idle });
    if (FINAL.has(verb)) this.#end(said, kind, publicId);
    else if (verb === "pause") this.#standings.set(key, { ...step, does: "pause" });
    // An end is only ever brought forward.
    else if (typeof end === "string") this.#ends.set(key, { ...step, does: "expire", expiresAt: end });
    else if (typeof idle !== "number") {
      if (verb === "resume" && before === "pause") this.#standings.delete(key);
      if (!isLimit) this.#other(said.action);
    }
  }

  #other(action: string): void {
    this.#others.set(action, (this.#others.get(action) ?? 0) + 1);
  }
}

function stepOf(
  { index: entry, action, at, actor, reason, identity }: LostEntry,
  kind: ForgottenStep["kind"],
  publicId: string,
): Omit<Decision, "does"> {
  const by = { actor: actor?.name ?? null, reason };
  return { kind, publicId, expiresAt: null, idleTtl: null, entry, action, at, ...by, identity };
}
