/** Nanoseconds of CLOCK_MONOTONIC, which every process of a machine shares, since the campaign began. */
export type Instant = number;

export const MILLISECOND = 1e6;
export const SECOND = 1e9;

/** The shared clock, counted from `epoch` (what `process.hrtime.bigint()` said when the campaign began). */
export function createClock(epoch: bigint): () => Instant {
  return () => Number(process.hrtime.bigint() - epoch);
}

/**
 * What an authentication came to: accepted; accepted as somebody else than the token's identity; a rejected promise,
 * which `authenticate` promises never to give; a refusal code; a code that nobody knows.
 */
export const OUTCOMES = [
  "accepted",
  "misattributed",
  "threw",
  "other",
  "malformed",
  "unknown",
  "paused",
  "identity_paused",
  "superseded",
  "expired",
  "abandoned",
  "revoked",
  "identity_revoked",
  "scope_missing",
  "unapproved",
  "behind_checkpoint",
  "unavailable",
] as const;

export type Outcome = (typeof OUTCOMES)[number];

export interface Authentication {
  readonly verifier: number;
  /** Which credential, by its place in `History.credentials`. */
  readonly credential: number;
  /** A token of that credential's public id, well-formed, with another secret. */
  readonly forged: boolean;
  /** Read just before `authenticate` was called. */
  readonly start: Instant;
  /** Read when its promise had settled. */
  readonly end: Instant;
  readonly outcome: Outcome;
}

/** What the campaign knows of a credential from its issuance. */
export interface CredentialFact {
  /** Public id. */
  readonly id: string;
  /** Slug. */
  readonly identity: string;
  /** From then on the database knows it: the end of the call that issued it. */
  readonly knownFrom: Instant;
  /** The latest moment at which it can still be good by its own expiry; null for none worth watching. */
  readonly notAfter: Instant | null;
  /** The credential that its first use supersedes, and how long that one may then live on. */
  readonly replaces: { readonly credential: number; readonly grace: number } | null;
}

/** What an action acts on. */
export type Target = `identity ${string}` | `credential ${number}`;

export interface LetGo {
  readonly verifiers: number;
  readonly acknowledged: number;
  readonly expired: number;
  readonly ms: number;
}

export interface Action {
  readonly kind: "pause" | "resume" | "revoke" | "rotate";
  readonly by: "library" | "command";
  /** For `rotate` what it revoked at once (`--compromised`), else nothing. */
  readonly targets: readonly Target[];
  /** As an operator would name it, for messages. */
  readonly ref: string;
  /** Read just before the command was started or the operation called. */
  readonly begin: Instant;
  /** Read when the command had exited or the operation had returned. */
  readonly end: Instant;
  /** `refused` changed nothing for certain; `unknown` is everything that is neither. */
  readonly outcome: "done" | "refused" | "unknown";
  readonly letGo: LetGo | null;
}

export interface History {
  /** Slug to the slug of the parent, or null. */
  readonly identities: ReadonlyMap<string, string | null>;
  readonly credentials: readonly CredentialFact[];
  readonly actions: readonly Action[];
  /** Read twice, in any order. */
  readonly authentications: Iterable<Authentication>;
}
