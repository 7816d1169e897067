import { MidctlError } from "./errors.ts";

/**
 * The states of SPEC §3, as pure functions. The database guards say the same in SQL; a test compares the two, so
 * every comparison with a clock is written the same way there: an instant is over when `instant <= now`.
 */

export type IdentityStatus = "active" | "paused" | "revoked";

export type CredentialStatus = "pending" | "active" | "paused" | "superseded" | "revoked" | "abandoned";

export type EffectiveStatus =
  | "active"
  | "grace"
  | "pending"
  | "paused"
  | "identity_paused"
  | "superseded"
  | "expired"
  | "abandoned"
  | "revoked"
  | "identity_revoked";

/** What an identity itself can effectively be. */
export type EffectiveIdentityStatus = Extract<
  EffectiveStatus,
  "active" | "paused" | "identity_paused" | "expired" | "revoked" | "identity_revoked"
>;

export interface IdentityFacts {
  readonly status: IdentityStatus;
  readonly expiresAt: Date | null;
  /** Seconds without use after which the identity counts as paused. */
  readonly idleTtl: number | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly resumedAt: Date | null;
}

export interface CredentialFacts {
  readonly status: CredentialStatus;
  readonly expiresAt: Date | null;
  readonly activationDeadline: Date | null;
  readonly graceUntil: Date | null;
}

/** Who or what may carry out a transition. */
export type TransitionCause =
  | "operator"
  | "first-use"
  | "successor-first-use"
  | "deadline"
  | "replaced"
  | "idle";

type Transitions<Status extends string> = Readonly<
  Record<Status, Readonly<Partial<Record<Status, readonly TransitionCause[]>>>>
>;

const CREDENTIAL_TRANSITIONS: Transitions<CredentialStatus> = {
  pending: { active: ["first-use"], revoked: ["operator"], abandoned: ["deadline", "replaced"] },
  active: { paused: ["operator"], superseded: ["successor-first-use"], revoked: ["operator"] },
  paused: { active: ["operator"], superseded: ["successor-first-use"], revoked: ["operator"] },
  superseded: { revoked: ["operator"] },
  revoked: {},
  abandoned: {},
};

const IDENTITY_TRANSITIONS: Transitions<IdentityStatus> = {
  active: { paused: ["operator", "idle"], revoked: ["operator"] },
  paused: { active: ["operator"], revoked: ["operator"] },
  revoked: {},
};

/** The causes that may move a credential from one stored status to another; null where none may, or it stays. */
export function credentialTransition(
  from: CredentialStatus,
  to: CredentialStatus,
): readonly TransitionCause[] | null {
  return CREDENTIAL_TRANSITIONS[from][to] ?? null;
}

/** The causes that may move an identity from one stored status to another; null where none may, or it stays. */
export function identityTransition(
  from: IdentityStatus,
  to: IdentityStatus,
): readonly TransitionCause[] | null {
  return IDENTITY_TRANSITIONS[from][to] ?? null;
}

/** Whether the identity has gone unused for `idleTtl`. */
export function isIdle(identity: IdentityFacts, now: Date): boolean {
  return now.getTime() >= idleEnd(identity);
}

/**
 * When an identity counts as paused for want of use: `idleTtl` after the latest of creation, use and resume.
 * @returns ms since 1970; Infinity without an `idleTtl`
 */
export function idleEnd(identity: IdentityFacts): number {
  if (identity.idleTtl === null) return Number.POSITIVE_INFINITY;
  const awake = Math.max(
    identity.createdAt.getTime(),
    identity.lastUsedAt?.getTime() ?? Number.NEGATIVE_INFINITY,
    identity.resumedAt?.getTime() ?? Number.NEGATIVE_INFINITY,
  );
  return awake + identity.idleTtl * 1000;
}

/**
 * When a credential ends by the clock alone: the soonest of its expiry, its grace, and the ends of its identity's line.
 * @returns ms since 1970; Infinity for no end
 */
export function credentialEnd(credential: CredentialFacts, chain: readonly IdentityFacts[]): number {
  let end = Math.min(timeOf(credential.expiresAt), timeOf(credential.graceUntil));
  for (const { expiresAt } of chain) end = Math.min(end, timeOf(expiresAt));
  return end;
}

/** How far apart the uses of a token are noted, ms: a minute, and often enough that a shorter `idleTtl` (s) sees them. */
export function noteInterval(idleTtl: number | null): number {
  return idleTtl === null ? 60_000 : Math.min(60_000, idleTtl * 250);
}

/** What a token without machine identity amounts to: its host keeps no more than an end and a revocation. */
export function effectiveTokenStatus(
  token: { readonly revoked: boolean; readonly expiresAt: Date | null },
  now: Date,
): Extract<EffectiveStatus, "active" | "expired" | "revoked"> {
  if (token.revoked) return "revoked";
  return isOver(token.expiresAt, now) ? "expired" : "active";
}

/**
 * What an identity effectively is, strictest first. `chain` is the identity itself, then its parent, and so on up.
 * Revocation, expiry and pause of an ancestor reach down; an ancestor's idleness does not.
 */
export function effectiveIdentityStatus(chain: readonly IdentityFacts[], now: Date): EffectiveIdentityStatus {
  const [self, ancestors] = splitChain(chain);
  if (self.status === "revoked") return "revoked";
  if (ancestors.some((ancestor) => ancestor.status === "revoked")) return "identity_revoked";
  if (chain.some((identity) => isOver(identity.expiresAt, now))) return "expired";
  if (self.status === "paused" || isIdle(self, now)) return "paused";
  if (ancestors.some((ancestor) => ancestor.status === "paused")) return "identity_paused";
  return "active";
}

/** What a credential effectively is, strictest first. `chain` is its identity, then that one's ancestors. */
export function effectiveCredentialStatus(
  credential: CredentialFacts,
  chain: readonly IdentityFacts[],
  now: Date,
): EffectiveStatus {
  const identity = effectiveIdentityStatus(chain, now);
  if (identity === "revoked" || identity === "identity_revoked") return "identity_revoked";
  if (credential.status === "revoked") return "revoked";
  if (isAbandoned(credential, now)) return "abandoned";
  if (identity === "expired" || isOver(credential.expiresAt, now)) return "expired";
  if (credential.status === "superseded" && !isInGrace(credential, now)) return "superseded";
  if (identity === "paused" || identity === "identity_paused") return "identity_paused";
  if (credential.status === "superseded") return "grace";
  // Revoked and abandoned have been answered above.
  return credential.status as "paused" | "pending" | "active";
}

/** Whether a token of this effective status is good. `pending` is, by the very use that activates it. */
export function authenticates(status: EffectiveStatus): boolean {
  return status === "active" || status === "grace" || status === "pending";
}

/** Active or paused, unexpired: at most one per identity and name. */
export function isCurrent(credential: CredentialFacts, now: Date): boolean {
  return (
    (credential.status === "active" || credential.status === "paused") && !isOver(credential.expiresAt, now)
  );
}

/** Waiting for its first use: pending, neither its deadline nor its expiry passed. */
export function isPending(credential: CredentialFacts, now: Date): boolean {
  return (
    credential.status === "pending" && !isAbandoned(credential, now) && !isOver(credential.expiresAt, now)
  );
}

/** Pending, current or in grace: what `revoke` of an identity and `--compromised` end. */
export function isLive(credential: CredentialFacts, now: Date): boolean {
  return (
    isPending(credential, now) ||
    isCurrent(credential, now) ||
    (credential.status === "superseded" && isInGrace(credential, now) && !isOver(credential.expiresAt, now))
  );
}

/**
 * When a predecessor superseded at `now` ends: `min(its expiry, now + grace)`. Grace is there so that work under way
 * can finish; a predecessor paused or expired at that moment has none under way, and gets none.
 */
export function graceEnd(predecessor: CredentialFacts, graceSeconds: number, now: Date): Date {
  const grace = predecessor.status === "paused" ? 0 : graceSeconds;
  return new Date(Math.min(timeOf(predecessor.expiresAt), now.getTime() + grace * 1000));
}

/** ms since 1970; Infinity for no end. */
function timeOf(instant: Date | null): number {
  return instant?.getTime() ?? Number.POSITIVE_INFINITY;
}

function isOver(instant: Date | null, now: Date): boolean {
  return instant !== null && instant.getTime() <= now.getTime();
}

function isAbandoned(credential: CredentialFacts, now: Date): boolean {
  return (
    credential.status === "abandoned" ||
    (credential.status === "pending" && isOver(credential.activationDeadline, now))
  );
}

/** A superseded credential without an end of grace never had any. */
function isInGrace(credential: CredentialFacts, now: Date): boolean {
  return credential.graceUntil !== null && !isOver(credential.graceUntil, now);
}

function splitChain(chain: readonly IdentityFacts[]): [IdentityFacts, readonly IdentityFacts[]] {
  const [self, ...ancestors] = chain;
  if (self === undefined) throw new MidctlError("internal", "A status was asked for without an identity.");
  return [self, ancestors];
}
