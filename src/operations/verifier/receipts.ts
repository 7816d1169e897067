import type { Tx } from "../../db/database.ts";
import { commitToHash } from "../../domain/plan.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import { readDigestsOf, readSignedPlan } from "../../repository/approval.ts";
import type { Looked } from "../decide.ts";
import { refuseLate, within } from "../patience.ts";
import { held, type Insufficient, isSame, judgeSigned, type Kept, type Terms } from "./terms.ts";

export interface ReceiptsOptions {
  /** For each answer of the database, ms. */
  readonly patience: number;
  /** Of plans kept, in bytes of their text; 64 MiB unless told. One that is larger is kept alone. */
  readonly room?: number;
  /** Steady clock, ms. */
  readonly now?: () => number;
  /** This process's clock, ms since 1970. */
  readonly wall?: () => number;
}

const ROOM = 64 * 1_048_576;
/** ms until a plan that is short of signatures is judged again: votes may have come. */
const JUDGE_AGAIN = 1_000;
/** So many plans that are not in force are remembered, not to be judged at every use of what they name. */
const MOST_SHORT = 10_000;
/**
 * ms that this process's clock may be ahead of a signed end before that has passed whatever the database says of the time: an
 * owner could set that clock back, and nothing signed would ever end.
 */
const AHEAD = 5 * 60_000;
/** What was found for a token, and in which plan. */
interface Seen {
  readonly plan: Kept;
  readonly terms: Terms;
}

const NOTHING: Kept = { terms: new Map(), bytes: 0, used: false };

/**
 * Which tokens a trust root approves of (SPEC §9). The database only tells which plans name a token: what a plan says is
 * believed for what is signed under it, and what a row says for being the same as its line. A plan is fetched and judged
 * once for all that it names, as long as the trust root is the same.
 */
export class Receipts {
  readonly #db: Tx;
  readonly #patience: number;
  readonly #room: number;
  readonly #now: () => number;
  readonly #wall: () => number;
  #root: TrustRoot | null = null;
  /** By digest. */
  #plans = new Map<string, Kept>();
  #bytes = 0;
  /** Plans kept by each commitment that they name. */
  #naming = new Map<string, readonly Kept[]>();
  /** By the hash of a token, so that its commitment is made once; begun anew whenever other plans are kept. */
  #seen = new Map<string, Seen>();
  /** By digest, when a plan that is not in force is looked at again, by the steady clock. */
  #short = new Map<string, number>();
  /** By digest: whoever asks for a plan that is being fetched waits for that. */
  #underWay = new Map<string, Promise<Kept>>();
  #asking: { readonly secrets: Set<string>; readonly answer: Promise<ReadonlyMap<string, string[]>> } | null =
    null;
  readonly #counts = { verified: 0, insufficient: 0 };

  constructor(
    db: Tx,
    { patience, room = ROOM, now = () => performance.now(), wall = Date.now }: ReceiptsOptions,
  ) {
    this.#db = db;
    this.#patience = patience;
    this.#room = room;
    this.#now = now;
    this.#wall = wall;
  }

  /** Plans found in force, judgements that found one not to be, and plans kept. */
  get counters(): { readonly verified: number; readonly insufficient: number; readonly kept: number } {
    return { ...this.#counts, kept: this.#plans.size };
  }

  /**
   * The decision as this trust root has it: `unapproved` unless a signed plan in force names the token with this identity
   * and these scopes, and its time has not passed: by the database's clock of the reading, nor by five minutes on this
   * process's own. `scope` is judged after that. At once where the plan has been seen.
   * @param hash what the token is kept as, hex
   * @param looked made without a scope
   * @throws MidctlError `unavailable` where the database cannot be asked
   */
  judge(root: TrustRoot, hash: string, looked: Looked, scope: string | null): Looked | Promise<Looked> {
    const { decision, publicId } = looked;
    if (!decision.ok || publicId === null) return looked;
    this.#follow(root);
    const at = Math.max(looked.at, this.#wall() - AHEAD);
    const { identity, scopes, credential } = decision;
    const row = { publicId, identity, scopes, issuedAt: credential?.issuedAt ?? null };
    const fits = (terms: Terms): boolean => at < terms.notAfter && isSame(terms, row);
    let seen = this.#seen.get(hash);
    if (seen === undefined || !fits(seen.terms)) {
      const secret = commitToHash(hash);
      seen = this.#search(secret, fits);
      if (seen === undefined) {
        return this.#seek(root, secret, fits).then((terms) => held(looked, at, decision, terms, scope));
      }
      this.#seen.set(hash, seen);
    }
    seen.plan.used = true;
    return held(looked, at, decision, seen.terms, scope);
  }

  /** What was judged under another root is nothing. */
  #follow(root: TrustRoot): void {
    if (root === this.#root) return;
    this.#root = root;
    this.#plans = new Map();
    this.#bytes = 0;
    this.#naming = new Map();
    this.#seen = new Map();
    this.#short = new Map();
    this.#underWay = new Map();
  }

  /** The one kept last of those that fit. */
  #search(secret: string, fits: (terms: Terms) => boolean): Seen | undefined {
    for (const plan of this.#naming.get(secret) ?? []) {
      const terms = plan.terms.get(secret);
      if (terms !== undefined && fits(terms)) return { plan, terms };
    }
    return undefined;
  }

  /** The newest that fits of those that the database names. */
  async #seek(root: TrustRoot, secret: string, fits: (terms: Terms) => boolean): Promise<Terms | null> {
    for (const digest of await this.#digestsOf(secret)) {
      const terms = (await this.#plan(root, digest)).terms.get(secret);
      if (terms !== undefined && fits(terms)) return terms;
    }
    return null;
  }

  /** What is asked for together goes together; nobody joins a statement that was sent before. */
  async #digestsOf(secret: string): Promise<readonly string[]> {
    this.#asking ??= this.#gather();
    this.#asking.secrets.add(secret);
    return (await this.#asking.answer).get(secret) ?? [];
  }

  #gather() {
    const secrets = new Set<string>();
    const answer = new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.#asking = null;
      const digests = new Map<string, string[]>();
      for (const row of await within(this.#patience, readDigestsOf(this.#db, [...secrets]), refuseLate)) {
        digests.set(row.secret, [...(digests.get(row.secret) ?? []), row.digest]);
      }
      return digests;
    });
    return { secrets, answer };
  }

  #plan(root: TrustRoot, digest: string): Promise<Kept> {
    // The root may have changed while the digests were read: then nothing that is kept is of this one.
    if (root !== this.#root) return this.#fetch(root, digest);
    const kept = this.#plans.get(digest);
    if (kept !== undefined) return Promise.resolve(kept);
    if (this.#now() < (this.#short.get(digest) ?? Number.NEGATIVE_INFINITY)) return Promise.resolve(NOTHING);
    let fetching = this.#underWay.get(digest);
    if (fetching === undefined) {
      const underWay = this.#underWay;
      fetching = this.#fetch(root, digest).finally(() => underWay.delete(digest));
      underWay.set(digest, fetching);
    }
    return fetching;
  }

  async #fetch(root: TrustRoot, digest: string): Promise<Kept> {
    const signed = await within(this.#patience, readSignedPlan(this.#db, digest), refuseLate);
    const judged = signed === null ? "short" : judgeSigned(root, digest, signed);
    if (typeof judged === "string") {
      this.#counts.insufficient++;
      if (root === this.#root) this.#remember(digest, judged);
      return NOTHING;
    }
    this.#counts.verified++;
    if (root === this.#root) this.#keep(digest, judged);
    return judged;
  }

  #remember(digest: string, judged: Insufficient): void {
    const [oldest] = this.#short.keys();
    if (this.#short.size >= MOST_SHORT && oldest !== undefined) this.#short.delete(oldest);
    this.#short.set(digest, judged === "void" ? Number.POSITIVE_INFINITY : this.#now() + JUDGE_AGAIN);
  }

  #keep(digest: string, plan: Kept): void {
    this.#seen = new Map();
    for (const [other, old] of this.#plans) {
      if (this.#bytes + plan.bytes <= this.#room) break;
      this.#plans.delete(other);
      // A second chance, once for each time that room is made.
      if (old.used) {
        old.used = false;
        this.#plans.set(other, old);
      } else this.#drop(old);
    }
    this.#plans.set(digest, plan);
    this.#bytes += plan.bytes;
    for (const secret of plan.terms.keys()) {
      this.#naming.set(secret, [plan, ...(this.#naming.get(secret) ?? [])]);
    }
  }

  #drop(plan: Kept): void {
    this.#bytes -= plan.bytes;
    for (const secret of plan.terms.keys()) {
      const others = (this.#naming.get(secret) ?? []).filter((other) => other !== plan);
      if (others.length === 0) this.#naming.delete(secret);
      else this.#naming.set(secret, others);
    }
  }
}
