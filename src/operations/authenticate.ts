import type { Database } from "../db/database.ts";
import { grants } from "../domain/scope.ts";
import type { TokenFacts } from "../repository/token-facts.ts";
import { isUndecided } from "./bearer.ts";
import { useToken } from "./credential-activate.ts";
import {
  type Decision,
  endOf,
  judge,
  judgeOpen,
  type Looked,
  noteEvery,
  quickHash,
  refusal,
  staleAt,
  type Wanted,
  wantedFor,
} from "./decide.ts";
import { type Demand, MISTAKEN, readDemand } from "./demand.ts";
import { refuseLate, within } from "./patience.ts";
import { Approvals } from "./verifier/approvals.ts";
import { DecisionCache } from "./verifier/cache.ts";
import { BehindCheckpoint, type HeadStanding, Heads } from "./verifier/heads.ts";
import { LeaseKeeper, momentNow } from "./verifier/lease-keeper.ts";
import { type Found, Lookups } from "./verifier/lookups.ts";
import { type AuthenticatorOptions, readOptions } from "./verifier/options.ts";
import { Uses } from "./verifier/uses.ts";

export type { AuthenticatorOptions } from "./verifier/options.ts";

/** What has been decided so far, for metrics. */
export interface AuthenticatorCounters {
  readonly decisions: number;
  readonly accepted: number;
  readonly refused: number;
  readonly unavailable: number;
  /** Decided without the database. */
  readonly cached: number;
  /** Statements sent: one for many decisions that came together. */
  readonly lookups: number;
  /** Answers that are kept now. */
  readonly entries: number;
  /** Whether answers may be kept now: a lease is in force. */
  readonly caching: boolean;
  /** Whether there is a trust root to be believed; null where none is asked for. Without one nothing is decided. */
  readonly trusted: boolean | null;
  /** Refused since no signed plan in force names them so; none without a trust root, as all that follows. */
  readonly unapproved: number;
  /** Plans found in force, once for all that they name. */
  readonly plansVerified: number;
  /** Times that a plan was found not to be in force: too few signatures that count, or another database. */
  readonly plansInsufficient: number;
  /** Plans in force that are kept now. */
  readonly plans: number;
  /** How the log stands to the head that is kept; null where none is. */
  readonly head: HeadStanding | null;
}

export interface Authenticator {
  /**
   * Decides on a bearer's token. A good one is a use: it activates a pending credential, exactly once under any
   * concurrency and before the answer, and its last use is noted by the minute. Never throws: where the database
   * cannot be asked, an activation cannot be written, the trust directory is not understood, or the head's store does not work,
   * the code is `unavailable`. The decision is frozen, deeply: it may be kept and given again. Options that cannot be understood (another field, a `scope` that is undefined or no
   * text) are no lack of a demand: nothing meets them, and the code is `scope_missing`.
   */
  authenticate(token: string, options?: Demand): Promise<Decision>;
  /**
   * Looks whether anything can be decided, before the first question or for a health check: with a `head` it reads log and
   * store as a decision does, and the verifier begins to follow the log.
   * @throws MidctlError `unavailable`; `usage` or `conflict` for a store that does not work, or holds the head of another log
   */
  check(): Promise<void>;
  /** Resolves when every use that was seen so far has been noted, or could not be. */
  settled(): Promise<void>;
  readonly counters: AuthenticatorCounters;
  /** Notes what is to be noted and gives the lease up, so that no revocation waits for it. The database stays open. */
  close(): Promise<void>;
}

/** Longer is neither ours nor legacy. */
const LONGEST_TOKEN = 512;
const UNHEARD =
  "The database's notifications are not heard here, as behind a connection pooler: nothing is cached, and every token is looked up. Revocation is as prompt as ever; give the database's own address to decide faster.";
const MALFORMED = refusal("malformed");
const SCOPE_MISSING = refusal("scope_missing");
const UNAVAILABLE = refusal("unavailable");
const BEHIND_CHECKPOINT = refusal("behind_checkpoint");
const NO_PLANS = { verified: 0, insufficient: 0, kept: 0 };

/**
 * What a resource server decides with. Lookups that come together go together; good answers are kept under a lease,
 * which begins with the first decision, so that pause and revoke can return when every verifier has let go.
 * @throws MidctlError `usage` that names the option that does not fit, or what is wrong with the trust directory
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const authenticator = new CachingAuthenticator(options);
  // Bound, so that each may be taken apart and handed on.
  return {
    authenticate: (token, wanted) => authenticator.authenticate(token, wanted),
    check: () => authenticator.check(),
    settled: () => authenticator.settled(),
    close: () => authenticator.close(),
    get counters() {
      return authenticator.counters;
    },
  };
}

class CachingAuthenticator {
  readonly #db: Database;
  readonly #cache: DecisionCache;
  readonly #keeper: LeaseKeeper | null;
  readonly #lookups: Lookups;
  readonly #uses: Uses;
  readonly #approvals: Approvals | null;
  readonly #heads: Heads | null;
  readonly #patience: number;
  #warned = false;
  readonly #counts = { accepted: 0, refused: 0, unavailable: 0, cached: 0, unapproved: 0 };

  constructor(options: AuthenticatorOptions) {
    const { db, cache, entries, leaseMs, name, patience, warn, trust, head } = readOptions(options);
    this.#db = db;
    this.#cache = new DecisionCache(entries);
    this.#heads =
      head === null ? null : new Heads(db, head, { patience, warn, forget: () => this.#cache.release() });
    this.#keeper =
      cache === false
        ? null
        : new LeaseKeeper(db, this.#cache, {
            length: leaseMs,
            name,
            heads: this.#heads,
            deaf: () => {
              if (!this.#warned) warn(UNHEARD);
              this.#warned = true;
            },
          });
    this.#patience = patience;
    this.#lookups = new Lookups(db, () => this.#cache.epoch, patience, this.#heads);
    this.#uses = new Uses(db);
    this.#approvals = trust === null ? null : new Approvals(db, trust, this.#cache, patience);
  }

  get counters(): AuthenticatorCounters {
    const { accepted, refused, unavailable, cached, unapproved } = this.#counts;
    const { verified, insufficient, kept } = this.#approvals?.counters ?? NO_PLANS;
    return {
      decisions: accepted + refused + unavailable,
      accepted,
      refused,
      unavailable,
      cached,
      lookups: this.#lookups.sent,
      entries: this.#cache.size,
      caching: this.#cache.isLeased(momentNow()),
      trusted: this.#approvals === null ? null : this.#approvals.root() !== null,
      unapproved,
      plansVerified: verified,
      plansInsufficient: insufficient,
      plans: kept,
      head: this.#heads?.standing ?? null,
    };
  }

  authenticate(token: string, options?: Demand): Promise<Decision> {
    if (typeof token !== "string" || token.length > LONGEST_TOKEN || token.length === 0) {
      return Promise.resolve(this.#count(MALFORMED));
    }
    const scope = readDemand(options);
    if (scope === MISTAKEN) return Promise.resolve(this.#count(SCOPE_MISSING));
    // Before the cache is asked: what is kept was decided under the root that was in force then.
    if (this.#approvals !== null && this.#approvals.root() === null) {
      return Promise.resolve(this.#count(UNAVAILABLE));
    }
    const hash = quickHash(token);
    const now = momentNow();
    const cached = this.#cache.get(hash, now);
    if (cached === null) return this.#ask(token, hash, scope);
    this.#counts.cached++;
    if (scope !== null && !grants(cached.decision.scopes, scope)) {
      return Promise.resolve(this.#count(SCOPE_MISSING));
    }
    if (now.steady >= cached.noteAt) {
      cached.noteAt = now.steady + cached.noteEvery;
      this.#uses.note(cached.publicId);
    }
    this.#counts.accepted++;
    return Promise.resolve(cached.decision);
  }

  async check(): Promise<void> {
    if (this.#heads === null) return;
    await this.#heads.open();
    this.#keeper?.start();
    await this.#heads.check();
  }

  async settled(): Promise<void> {
    await this.#uses.settle();
  }

  async close(): Promise<void> {
    await Promise.all([this.#keeper?.close(), this.#uses.settle(), this.#heads?.close()]);
  }

  async #ask(token: string, hash: string, scope: string | null): Promise<Decision> {
    try {
      return this.#count(await this.#look(token, hash, scope));
    } catch (error) {
      return this.#count(error instanceof BehindCheckpoint ? BEHIND_CHECKPOINT : UNAVAILABLE);
    }
  }

  async #look(token: string, hash: string, scope: string | null): Promise<Decision> {
    const wanted = wantedFor(token, hash);
    if (wanted === null) return MALFORMED;
    const opening = this.#heads?.open() ?? null;
    if (opening !== null) await opening;
    this.#keeper?.start();
    const found = await this.#lookups.find(wanted);
    const judged =
      this.#approvals === null
        ? judge(found.reading, wanted, scope)
        : this.#approvals.judge(wanted.hash, judgeOpen(found.reading, wanted, null), scope);
    const looked = judged instanceof Promise ? await judged : judged;
    const { decision, publicId } = looked;
    if (publicId === null) return decision;
    if (!decision.ok) {
      if (decision.code !== "scope_missing") this.#uses.noteRefused(publicId, decision.code);
      return decision;
    }
    if (looked.pending) return this.#use(token, scope, found.reading.tokens.get(wanted.hash), looked);
    if (looked.stale) this.#uses.note(publicId);
    this.#keep(wanted, found, looked);
    return decision;
  }

  /** A first use, which supersedes: this verifier at least need not be told so by the database. */
  async #use(
    token: string,
    scope: string | null,
    known: TokenFacts | undefined,
    looked: Looked,
  ): Promise<Decision> {
    const { decision } = await within(this.#patience, useToken(this.#db, token, scope), refuseLate);
    if (known?.kind === "own" && known.replaces !== null) this.#cache.letGo([known.replaces]);
    if (this.#approvals === null) return decision;
    return (await this.#approvals.judge(quickHash(token), { ...looked, decision }, scope)).decision;
  }

  #keep(wanted: Wanted, { reading, epoch, sent }: Found, looked: Looked): void {
    const { decision, publicId, stale, notAfter } = looked;
    const known = reading.tokens.get(wanted.hash);
    if (known === undefined || !decision.ok || publicId === null) return;
    const every = noteEvery(known);
    this.#cache.add(
      wanted.hash,
      {
        decision,
        publicId,
        ids: known.kind === "own" ? known.ids : [publicId],
        until: sent + (Math.min(endOf(known), notAfter) - reading.at),
        noteEvery: every,
        noteAt: sent + (stale ? every : staleAt(known) - reading.at),
      },
      epoch,
      momentNow(),
    );
  }

  #count(decision: Decision): Decision {
    if (decision.ok) this.#counts.accepted++;
    else if (isUndecided(decision.code)) this.#counts.unavailable++;
    else this.#counts.refused++;
    if (!decision.ok && decision.code === "unapproved") this.#counts.unapproved++;
    return decision;
  }
}
