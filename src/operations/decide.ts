import type { Tx } from "../db/database.ts";
import { formatToken } from "../domain/reference.ts";
import { grants } from "../domain/scope.ts";
import type { EffectiveStatus } from "../domain/status.ts";
import { equalHashes, hashLegacyToken, hashToken, isLegacyShaped, parseToken } from "../domain/token.ts";
import type { Credential } from "../repository/credential.ts";
import type { Identity } from "../repository/identity.ts";
import { findLegacyToken, findToken, findTokenIdByHash, type LegacyToken } from "../repository/token.ts";

/** Whom a good token stands for. `displayName` prefers the machine identity's. */
export interface Actor {
  readonly kind: "machine_identity" | "legacy_token";
  /** The identity's slug; a legacy token has none, and goes by `at_…`. */
  readonly slug: string;
  readonly displayName: string;
  readonly owner: string | null;
}

export interface Accepted {
  readonly ok: true;
  readonly actor: Actor;
  /** null for a legacy token. */
  readonly credential: Credential | null;
  readonly identity: Identity | null;
  readonly scopes: readonly string[];
  /** RFC 3339; null for no end. */
  readonly expiresAt: string | null;
}

export interface Refused {
  readonly ok: false;
  readonly code: RefusalCode;
}

/** SPEC, appendix. For servers; a bearer sees one uniform 401, and 503 for `unavailable`. */
export type RefusalCode =
  | "malformed"
  | "unknown"
  | Exclude<EffectiveStatus, "active" | "grace" | "pending">
  | "scope_missing"
  | "unavailable";

export type Decision = Accepted | Refused;

/** A decision with what acting on it needs. */
export interface Looked {
  readonly decision: Decision;
  readonly publicId: string | null;
  /** Whether this use, if it is one, is to activate the credential. */
  readonly pending: boolean;
  readonly stale: boolean;
}

/** Compared against where no such token exists, so that an unknown id costs the same work. */
const NOBODY = "0".repeat(64);

/** Decides on a token as the database stands now. Looks only: nothing is activated, no use is noted. */
export async function decide(tx: Tx, token: string, scope: string | null): Promise<Looked> {
  const parsed = parseToken(token);
  if (parsed !== null) return decideOwn(tx, parsed.publicId, hashToken(token), scope);
  if (!isLegacyShaped(token)) return refuse("malformed");
  const hash = hashLegacyToken(token);
  const found = await findTokenIdByHash(tx, hash);
  if (found === null) return refuse("unknown");
  if (!found.legacy) return decideOwn(tx, found.publicId, hash, scope);
  const legacy = await findLegacyToken(tx, found.publicId);
  return legacy === null ? refuse("unknown") : decideLegacy(legacy, scope);
}

async function decideOwn(tx: Tx, publicId: string, hash: string, scope: string | null): Promise<Looked> {
  const known = await findToken(tx, publicId);
  const equal = equalHashes(known?.tokenHash ?? NOBODY, hash);
  if (known === null || !equal) return refuse("unknown");
  const { credential, identity } = known;
  const status = credential.effectiveStatus;
  if (status !== "active" && status !== "grace" && status !== "pending") return refuse(status, publicId);
  if (known.hostRevoked) return refuse("revoked", publicId);
  if (scope !== null && !grants(credential.scopes, scope)) return refuse("scope_missing", publicId);
  return {
    publicId,
    pending: status === "pending",
    stale: known.stale,
    decision: {
      ok: true,
      actor: {
        kind: "machine_identity",
        slug: identity.slug,
        displayName: identity.displayName,
        owner: identity.owner,
      },
      credential,
      identity,
      scopes: credential.scopes,
      expiresAt: known.end,
    },
  };
}

function decideLegacy(legacy: LegacyToken, scope: string | null): Looked {
  if (legacy.effectiveStatus !== "active") return refuse(legacy.effectiveStatus, legacy.publicId);
  if (scope !== null && !grants(legacy.scopes, scope)) return refuse("scope_missing", legacy.publicId);
  return {
    publicId: legacy.publicId,
    pending: false,
    stale: legacy.stale,
    decision: {
      ok: true,
      actor: {
        kind: "legacy_token",
        slug: formatToken(legacy.publicId),
        displayName: legacy.name,
        owner: null,
      },
      credential: null,
      identity: null,
      scopes: legacy.scopes,
      expiresAt: legacy.expiresAt,
    },
  };
}

function refuse(code: RefusalCode, publicId: string | null = null): Looked {
  return { decision: { ok: false, code }, publicId, pending: false, stale: false };
}
