import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatToken } from "../domain/reference.ts";
import { grants } from "../domain/scope.ts";
import {
  authenticates,
  credentialEnd,
  type EffectiveStatus,
  effectiveCredentialStatus,
  effectiveTokenStatus,
  idleEnd,
  noteInterval,
} from "../domain/status.ts";
import { hashLegacyToken, hashToken, isLegacyShaped, parseShape } from "../domain/token.ts";
import {
  type Barred,
  type CredentialInUse,
  type HostToken,
  type IdentityInUse,
  type OwnToken,
  type Reading,
  readLegacyTokens,
  readTokens,
  type TokenFacts,
} from "../repository/token-facts.ts";

/** Whom a good token stands for. `displayName` prefers the machine identity's. */
export interface Actor {
  readonly kind: "machine_identity" | "legacy_token";
  /** The identity's slug; a legacy token has none, and goes by `at_…`. */
  readonly slug: string;
  readonly displayName: string;
  readonly owner: string | null;
}

/** Frozen, all of it: verifiers give the same object to everybody who asks. */
export interface Accepted {
  readonly ok: true;
  readonly actor: Actor;
  /** null for a legacy token. */
  readonly credential: CredentialInUse | null;
  readonly identity: IdentityInUse | null;
  readonly scopes: readonly string[];
  /** The host's workspace that it belongs to; null in a stand-alone database. */
  readonly workspace: string | null;
  /** RFC 3339; null for no end. */
  readonly expiresAt: string | null;
  /** `ap_…`: the signed plan that the token is accepted under; null where no trust root asks for one. */
  readonly approval: string | null;
}

/** Frozen too. */
export interface Refused {
  readonly ok: false;
  readonly code: RefusalCode;
}

/** SPEC, appendix. For servers; a bearer sees one uniform 401, and 503 for `unavailable` and `behind_checkpoint`. */
export type RefusalCode =
  | "malformed"
  | "unknown"
  | Exclude<EffectiveStatus, "active" | "grace" | "pending">
  | "scope_missing"
  | "unapproved"
  | "behind_checkpoint"
  | "unavailable";

export type Decision = Accepted | Refused;

/** What a token is looked up by: public id and hash, or the hash alone of one that is not ours. */
export interface Wanted {
  /** null for what may be a legacy token. */
  readonly publicId: string | null;
  readonly hash: string;
}

/** A decision with what acting on it needs. */
export interface Looked {
  readonly decision: Decision;
  /** Whose secret was right, whatever the answer; null otherwise. */
  readonly publicId: string | null;
  /** Whether this use, if it is one, is to activate the credential. */
  readonly pending: boolean;
  /** Whether its last use is old enough to be written again. */
  readonly stale: boolean;
  /** The database's clock as it was read, ms since 1970; NaN where it was not asked. */
  readonly at: number;
  /** When the signed line that it is accepted under lets it end, ms since 1970; infinite where none is asked for. */
  readonly notAfter: number;
}

/** The hash by which a token would be known, cheaply: neither shape nor checksum is looked at. */
export function quickHash(token: string): string {
  return token.startsWith("mid_") ? hashToken(token) : hashLegacyToken(token);
}

/** Null for what is no token: checked without the database. */
export function wantedFor(token: string, hash: string = quickHash(token)): Wanted | null {
  const shape = parseShape(token);
  if (shape !== null) return { publicId: shape.publicId, hash };
  return isLegacyShaped(token) ? { publicId: null, hash } : null;
}

/**
 * Decides on a token as the database stands now. Looks only: nothing is activated, no use is noted. Throws
 * `unavailable` on a standby, which may not have heard of a revocation yet, and where the database has moved.
 */
export async function decide(tx: Tx, token: string, scope: string | null): Promise<Looked> {
  const wanted = wantedFor(token);
  if (wanted === null) return refuse("malformed");
  const { publicId, hash } = wanted;
  const reading = await (publicId === null
    ? readLegacyTokens(tx, [hash])
    : readTokens(tx, [{ publicId, hash }]));
  return judge(requirePrimary(reading), wanted, scope);
}

const BARRED: Readonly<Record<Barred, readonly [string, string]>> = {
  standby: [
    "This database is a standby; no token was decided on.",
    "A standby may not have heard of a revocation yet: verify against the primary.",
  ],
  moved: [
    "This database has moved; no token was decided on.",
    "It hears of no revocation any more: verify where it went, which midctl status names.",
  ],
};

/** @throws MidctlError `unavailable` */
export function requirePrimary(reading: Reading): Reading {
  if (reading.barred === null) return reading;
  throw refuseBarred(reading.barred);
}

export function refuseBarred(barred: Barred): MidctlError {
  const [message, hint] = BARRED[barred];
  return new MidctlError("unavailable", message, { hint });
}

/** Zero rows for lack of rights are no answer. */
function hiddenRows(): MidctlError {
  return new MidctlError(
    "unavailable",
    "Row-level security shows the owner of midctl's functions no agent token at all; no token was decided on.",
    { hint: "Give that role a policy on agent_token that lets it read, or BYPASSRLS." },
  );
}

/**
 * The answer that the facts give, at the moment they were read.
 * @throws MidctlError `unavailable` for a token that is missing where no token is shown at all
 */
export function judge(reading: Reading, wanted: Wanted, scope: string | null): Looked {
  const looked = judgeOpen(reading, wanted, scope);
  Object.freeze(looked.decision);
  return looked;
}

/** The same, whose decision is not frozen yet: for who has something to add to it, and freezes it then. */
export function judgeOpen(reading: Reading, wanted: Wanted, scope: string | null): Looked {
  const known = reading.tokens.get(wanted.hash);
  if (known === undefined) {
    if (reading.hidden) throw hiddenRows();
    return refuse("unknown");
  }
  const now = new Date(reading.at);
  const status = statusOf(known, now);
  if (!authenticates(status)) return refuse(status as RefusalCode, known.publicId);
  const decision = known.kind === "own" ? acceptOwn(known, status) : acceptLegacy(known);
  if (scope !== null && !grants(decision.scopes, scope)) return refuse("scope_missing", known.publicId);
  return {
    decision,
    publicId: known.publicId,
    pending: status === "pending",
    stale: now.getTime() >= staleAt(known),
    at: reading.at,
    notAfter: Number.POSITIVE_INFINITY,
  };
}

function statusOf(known: TokenFacts, now: Date): EffectiveStatus {
  if (known.kind === "legacy") return effectiveTokenStatus(known.facts, now);
  const status = effectiveCredentialStatus(known.facts, known.chain, now);
  return authenticates(status) && known.hostRevoked ? "revoked" : status;
}

/** How far apart the uses of a token are noted, ms. */
export function noteEvery(known: TokenFacts): number {
  return noteInterval(known.kind === "own" ? (known.chain[0]?.idleTtl ?? null) : null);
}

/** When this token's last use is to be written again, ms since 1970. */
export function staleAt(known: TokenFacts): number {
  if (known.lastUsedAt === null) return Number.NEGATIVE_INFINITY;
  return known.lastUsedAt.getTime() + noteEvery(known);
}

/** The moment at which an answer ends by the clock alone, ms since 1970. */
export function endOf(known: TokenFacts): number {
  if (known.kind === "legacy") return known.facts.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY;
  const [self] = known.chain;
  const end = credentialEnd(known.facts, known.chain);
  return self === undefined ? end : Math.min(end, idleEnd(self));
}

function acceptOwn(known: OwnToken, effectiveStatus: EffectiveStatus): Accepted {
  const { credential, identity } = known;
  return freezeParts({
    ok: true,
    actor: {
      kind: "machine_identity",
      slug: identity.slug,
      displayName: identity.displayName,
      owner: identity.owner,
    },
    credential: { ...credential, effectiveStatus },
    identity,
    scopes: credential.scopes,
    workspace: identity.workspace,
    expiresAt: endText(known),
    approval: null,
  });
}

/** When it ends, RFC 3339. Mostly that is its own expiry, which is text already. */
function endText({ credential, facts, chain }: OwnToken): string | null {
  const end = credentialEnd(facts, chain);
  if (end === facts.expiresAt?.getTime()) return credential.expiresAt;
  return Number.isFinite(end) ? new Date(end).toISOString() : null;
}

function acceptLegacy(known: HostToken): Accepted {
  return freezeParts({
    ok: true,
    actor: {
      kind: "legacy_token",
      slug: formatToken(known.publicId),
      displayName: known.name,
      owner: null,
    },
    credential: null,
    identity: null,
    scopes: known.scopes,
    workspace: known.workspace,
    expiresAt: known.facts.expiresAt?.toISOString() ?? null,
    approval: null,
  });
}

/** What one caller wrote into it would be the next one's answer. */
function freezeParts(decision: Accepted): Accepted {
  const { actor, credential, identity, scopes } = decision;
  Object.freeze(scopes);
  Object.freeze(actor);
  if (credential !== null) Object.freeze(credential);
  if (identity !== null) {
    Object.freeze(identity.labels);
    Object.freeze(identity);
  }
  return decision;
}

/** The decision that refuses by this code. */
export function refusal(code: RefusalCode): Refused {
  return Object.freeze({ ok: false, code });
}

function refuse(code: RefusalCode, publicId: string | null = null, at = Number.NaN): Looked {
  const decision = refusal(code);
  return { decision, publicId, pending: false, stale: false, at, notAfter: Number.POSITIVE_INFINITY };
}

/** The same reading of a token with another answer: refused, and so nothing that a use would do. */
export function refuseInstead({ publicId, at }: Looked, code: RefusalCode): Looked {
  return refuse(code, publicId, at);
}
