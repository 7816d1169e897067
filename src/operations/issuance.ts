import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { sameScopes } from "../domain/scope.ts";
import type { Commitment } from "../domain/token.ts";
import {
  type Credential,
  findCredential,
  findIssued,
  insertCredential,
  type NameHolders,
  readHolders,
  replacePending,
} from "../repository/credential.ts";
import type { Environment } from "../repository/environment.ts";
import { findIdentity, type Identity, lockIdentity, settleIdentity } from "../repository/identity.ts";
import type { Request } from "./change.ts";
import { ensureIdentity, type IdentitySpec } from "./identity-create.ts";
import { notFound, requireEnvironment } from "./lookup.ts";

/** What issuing and rotating share: what is asked for, what stands in the way, and the writing itself. */

/** Lifetime of a credential where nothing is said: 90 days. */
export const DEFAULT_LIFE = 90 * 86_400;
/** Time for the first use where nothing is said: 24 hours. */
export const DEFAULT_ACTIVATION = 86_400;

export interface Issuance {
  /** The identity by slug, or what to create where there is none. */
  readonly identity: string | IdentitySpec;
  readonly name: string;
  /** null: none for a new credential, the predecessor's for a rotation. */
  readonly scopes: readonly string[] | null;
  /** Seconds; "never" for no end; or a moment, RFC 3339. */
  readonly expiresIn: number | "never" | { readonly at: string };
  /** Seconds. */
  readonly activateWithin: number;
  /** What is kept of the secret, which its maker holds: a file, a person, another machine. */
  readonly secret: Commitment;
  readonly replacePending: boolean;
}

export interface Issued {
  /** False where this very secret had been issued before: the retry of a call that succeeded. */
  readonly created: boolean;
  readonly identity: Identity;
  readonly credential: Credential;
  /** Public ids that `--compromised` ended. */
  readonly revoked: readonly string[];
}

/** What the command read when it began; only that is replaced (SPEC §3). */
export interface Seen {
  readonly environment: Environment;
  readonly holders: NameHolders;
}

/** Reads what the command will be held to, before any secret is made or lock taken. */
export async function previewIssuance(db: Tx, slug: string, name: string): Promise<Seen> {
  const [environment, holders] = await Promise.all([requireEnvironment(db), readHolders(db, slug, name)]);
  return { environment, holders };
}

/** The identity, locked, made where a spec asks for it. Throws `conflict` for one that has ended, `not_found`. */
export async function holdIdentity(tx: Tx, request: Request, issuance: Issuance): Promise<Identity> {
  let identity: Identity | null;
  if (typeof issuance.identity === "string") {
    identity = await lockIdentity(tx, issuance.identity);
    if (identity === null) throw await notFound(tx, { kind: "identity", slug: issuance.identity });
  } else {
    identity = (await ensureIdentity(tx, request.actor.name, issuance.identity)).identity;
  }
  const { effectiveStatus, slug } = identity;
  if (hasEnded(identity)) {
    const why =
      effectiveStatus === "expired" ? "has expired, or an ancestor has" : "is revoked, or an ancestor is";
    throw new MidctlError("conflict", `${slug} ${why}; nothing was issued.`, {
      hint: "An ended identity gets no new credentials. Create a new identity.",
      details: { slug, effectiveStatus },
    });
  }
  return identity;
}

/** An identity that has ended, or has an ancestor that has, gets no new credentials. */
export function hasEnded({ effectiveStatus }: Pick<Identity, "effectiveStatus">): boolean {
  return (
    effectiveStatus === "revoked" || effectiveStatus === "identity_revoked" || effectiveStatus === "expired"
  );
}

/** What the name holds once the clock's changes are stored, and whether this very secret is known. */
export async function readStanding(
  tx: Tx,
  issuance: Issuance,
  identity: Identity,
): Promise<NameHolders & { readonly known: Credential | null }> {
  const [, known, holders] = await Promise.all([
    settleIdentity(tx, identity.slug),
    findIssued(tx, issuance.secret),
    readHolders(tx, identity.slug, issuance.name),
  ]);
  return { known, ...holders };
}

/** In a protected environment every credential has an end. Throws `usage`. */
export function requireEnd(issuance: Pick<Issuance, "expiresIn">, environment: Environment): void {
  if (issuance.expiresIn === "never" && environment.protected) {
    throw new MidctlError(
      "usage",
      `The environment ${environment.name} is protected, and there every credential has an end; nothing was issued.`,
      { hint: "Give --expires a duration, such as 90d." },
    );
  }
}

/** The retry rule of SPEC §4: this very secret is known already, and the call asks for what was done with it. */
export function retried(
  known: Credential,
  issuance: Issuance,
  identity: Identity,
  verb: "issue" | "rotate",
  replaced: string | null,
): Issued {
  const same =
    known.identity === identity.slug &&
    known.name === issuance.name &&
    known.id === `mc_${issuance.secret.publicId}`;
  const scoped =
    issuance.scopes === null
      ? verb === "rotate" || known.scopes.length === 0
      : sameScopes(issuance.scopes, known.scopes);
  const pending =
    known.effectiveStatus === "pending" ||
    (known.status === "pending" && known.effectiveStatus === "identity_paused");
  const current = known.status === "active" || known.status === "paused";
  const proven = verb === "rotate" && current && replaced !== null && known.replaces === `mc_${replaced}`;
  const open =
    verb === "issue" ? pending || (current && known.effectiveStatus !== "expired") : pending || proven;
  if (same && scoped && open) return { created: false, identity, credential: known, revoked: [] };
  throw new MidctlError(
    "conflict",
    `This token is ${known.id} of ${known.identity} already (${known.effectiveStatus}); nothing was issued.`,
    {
      hint:
        verb === "rotate" && same && current
          ? "A rotation makes a new secret: give a new --token-file. To repeat a rotation that is already proven, add --expect-current with the credential it replaced."
          : "Give a new --token-file or commitment.",
      details: { credential: known.id, effectiveStatus: known.effectiveStatus },
    },
  );
}

/** `--replace-pending`: abandons exactly the pending credential that the command read when it began. */
export async function giveWay(
  tx: Tx,
  issuance: Issuance,
  identity: Identity,
  pending: Credential | null,
  seen: Seen,
): Promise<void> {
  if (pending === null) return;
  if (!issuance.replacePending) {
    throw new MidctlError(
      "conflict",
      `${identity.slug} has a pending credential ${pending.id} named ${issuance.name} that nobody has used yet; nothing was issued.`,
      {
        hint: `Its secret is inert until used. Give --replace-pending to put a new one in its place, or revoke ${pending.id}.`,
        details: { pending: pending.id },
      },
    );
  }
  if (seen.holders.pending?.id !== pending.id) {
    throw new MidctlError(
      "conflict",
      `${pending.id} became pending after this command began; it was not replaced and nothing was issued.`,
      {
        hint: "Another issuance is under way. Look again before replacing it.",
        details: { pending: pending.id },
      },
    );
  }
  await replacePending(tx, pending.id.slice(3), issuance.secret.publicId);
}

/** What a credential is to be, beside what was asked for. */
export interface Plan {
  /** Public id. */
  readonly replaces: string | null;
  readonly scopes: readonly string[];
  /** Seconds. */
  readonly grace: number;
  /** Public ids that `--compromised` ended. */
  readonly revoked: readonly string[];
}

/** Writes credential and token, and reads them back. Throws `conflict` for a token of the other kind of environment. */
export async function writeCredential(
  tx: Tx,
  request: Request,
  issuance: Issuance,
  identity: Identity,
  plan: Plan,
): Promise<Issued> {
  const { publicId } = issuance.secret;
  const [, credential, made] = await Promise.all([
    writeUnread(tx, request, issuance, identity, plan),
    findCredential(tx, publicId),
    findIdentity(tx, identity.slug),
  ]);
  if (credential === null || made === null)
    throw new MidctlError("internal", "The credential was written and cannot be read; nothing was issued.");
  return { created: true, identity: made, credential, revoked: plan.revoked };
}

/** As `writeCredential`, for whoever needs no answer. */
export async function writeUnread(
  tx: Tx,
  request: Request,
  issuance: Issuance,
  identity: Identity,
  plan: Plan,
): Promise<void> {
  const { secret } = issuance;
  const written = await insertCredential(tx, {
    publicId: secret.publicId,
    tokenHash: secret.hash,
    tokenPrefix: `mid_${secret.environment}`,
    live: secret.environment === "live",
    identity: identity.slug,
    name: issuance.name,
    scopes: plan.scopes,
    expiresIn: typeof issuance.expiresIn === "number" ? issuance.expiresIn : null,
    expiresAt: typeof issuance.expiresIn === "object" ? issuance.expiresIn.at : null,
    activateWithin: issuance.activateWithin,
    replaces: plan.replaces,
    grace: plan.grace,
    issuedBy: request.actor.name,
  });
  if (!written) throw wrongKind(secret, "issued");
}

/** @throws MidctlError `conflict` for a token of the other kind of environment */
export function requireKind(
  secret: Commitment,
  kind: Environment["kind"],
  done: "issued" | "requested",
): void {
  if (secret.environment !== kind) throw wrongKind(secret, done);
}

export function wrongKind({ environment }: Commitment, done: "issued" | "requested"): MidctlError {
  return new MidctlError(
    "conflict",
    `The token is a ${environment} token, and this environment is not ${environment}; nothing was ${done}.`,
    { hint: "Make the token for this environment: midctl status names its kind." },
  );
}

/** ` --name NAME` for a hint, where it is not the default one. */
export function named(name: string): string {
  return name === "default" ? "" : ` --name ${name}`;
}
