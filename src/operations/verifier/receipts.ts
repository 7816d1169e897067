import type { Tx } from "../../db/database.ts";
import { COVERING, commitToHash, digestOf } from "../../domain/plan.ts";
import { judgePlan } from "../../domain/receipt.ts";
import { grants, sameScopes } from "../../domain/scope.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import { readDigestsOf, readSignedPlan, type SignedPlan } from "../../repository/approval.ts";
import { type Plan, readPlan } from "../approval/plan.ts";
import { type Accepted, type Looked, refuseInstead } from "../decide.ts";
import { refuseLate, within } from "../patience.ts";

/** What a signed line lets a token be. */
export interface Terms {
  /** `ap_…` */
  readonly approval: string;
  /** Public id of the credential or legacy token. */
  readonly publicId: string;
  /** null for a legacy token. */
  readonly identity: { readonly slug: string; readonly publicId: string } | null;
  readonly scopes: readonly string[];
  /** ms since 1970. */
  readonly notAfter: number;
  /** The same, RFC 3339, as an answer has it. */
  readonly notAfterText: string;
  readonly executeBy: number;
}

/** A plan in force: enough is signed under it. */
interface Kept {
  readonly terms: ReadonlyMap<string, Terms>;
  /** Of the plan's text. */
  readonly bytes: number;
  /** Since room was last made: what nobody asks for goes first. */
  used: boolean;
}

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
/** ms after `executeBy` in which a row may be born: the line was used up in time, and its transaction then waited for locks. */
const LATE = 60_000;
const COVERS: ReadonlySet<string> = new Set(COVERING);
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
    const known = this.#find(hash, fits);
    if (known !== null) return held(looked, at, decision, known, scope);
    const secret = commitToHash(hash);
    return this.#seek(root, secret, fits).then((terms) => held(looked, at, decision, terms, scope));
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

  #find(hash: string, fits: (terms: Terms) => boolean): Terms | null {
    let seen = this.#seen.get(hash);
    if (seen === undefined || !fits(seen.terms)) {
      seen = this.#search(commitToHash(hash), fits);
      if (seen === undefined) return null;
      this.#seen.set(hash, seen);
    }
    seen.plan.used = true;
    return seen.terms;
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

/** `void`: whatever is signed under it, it covers nothing under this root. `short`: that may still change, as by votes. */
type Insufficient = "void" | "short";

/** What a plan covers under a trust root. Nothing of it is believed until it is what was signed. */
export function judgeSigned(
  root: TrustRoot,
  digest: string,
  { plan: text, votes }: SignedPlan,
): Kept | Insufficient {
  if (digestOf(text) !== digest) return "short";
  const plan = readStrictly(text);
  // What breaks the glass pauses and revokes.
  if (plan === null || plan.breakGlass !== null) return "void";
  const { requester, requestedAt, environment } = plan;
  const { short } = judgePlan(
    root,
    { text, requester, requestedAt, databaseId: environment.databaseId },
    votes,
  );
  if (short !== null) return short === "database" ? "void" : "short";
  return { terms: termsOf(plan), bytes: Buffer.byteLength(text), used: false };
}

function readStrictly(text: string): Plan | null {
  try {
    return readPlan(text);
  } catch {
    return null;
  }
}

function termsOf({ id, executeBy, lines }: Plan): ReadonlyMap<string, Terms> {
  const terms = new Map<string, Terms>();
  for (const line of lines) {
    if (line.token === null || line.credential === null || !COVERS.has(line.do)) continue;
    // The first of two that name the same token: a plan that people mean has one.
    if (terms.has(line.token.secret)) continue;
    terms.set(line.token.secret, {
      approval: id,
      publicId: line.credential.id.slice(3),
      identity:
        line.identity === null ? null : { slug: line.identity.slug, publicId: line.identity.publicId },
      scopes: line.token.scopes,
      notAfter: Date.parse(line.token.notAfter),
      notAfterText: line.token.notAfter,
      executeBy: Date.parse(executeBy),
    });
  }
  return terms;
}

/** As much of a token's rows as a line is compared with. */
export interface ComparedRow {
  readonly publicId: string;
  /** null for a legacy token. */
  readonly identity: { readonly slug: string; readonly publicId: string } | null;
  readonly scopes: readonly string[];
  /** RFC 3339; null for a legacy token. */
  readonly issuedAt: string | null;
}

/**
 * Whether the row is what was signed. All of that is immutable, so a row that differs was tampered with. When it was issued
 * is the row's own word: this finds rows written by hand after the plan's time, by whoever did not think of it, and proves
 * nothing.
 */
export function isSame(terms: Terms, { publicId, identity, scopes, issuedAt }: ComparedRow): boolean {
  return (
    terms.publicId === publicId &&
    terms.identity?.slug === identity?.slug &&
    terms.identity?.publicId === identity?.publicId &&
    sameScopes(terms.scopes, scopes) &&
    // Written so that what is no time is never in time.
    (issuedAt === null || Date.parse(issuedAt) <= terms.executeBy + LATE)
  );
}

/** The decision held to its terms; `unapproved` without any. @param at the later of the clocks, ms since 1970 */
function held(
  looked: Looked,
  at: number,
  decision: Accepted,
  terms: Terms | null,
  scope: string | null,
): Looked {
  if (terms === null) return refuseInstead(looked, "unapproved");
  if (scope !== null && !grants(decision.scopes, scope)) return refuseInstead(looked, "scope_missing");
  const { publicId, pending, stale } = looked;
  // What is left until then is what counts, since it is kept by the clock of the reading.
  const notAfter = looked.at + (terms.notAfter - at);
  return { decision: underTerms(decision, terms), publicId, pending, stale, at: looked.at, notAfter };
}

/** The answer ends when row or line does, whichever is sooner. Each field by its name: a spread costs a microsecond. */
function underTerms(decision: Accepted, { approval, notAfter, notAfterText }: Terms): Accepted {
  const { actor, credential, identity, scopes, workspace, expiresAt } = decision;
  const sooner = expiresAt !== null && Date.parse(expiresAt) <= notAfter;
  return Object.freeze({
    ok: true,
    actor,
    credential,
    identity,
    scopes,
    workspace,
    expiresAt: sooner ? expiresAt : notAfterText,
    approval,
  });
}
