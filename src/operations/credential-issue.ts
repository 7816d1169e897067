import type { Database, Tx } from "../db/database.ts";
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
  readLive,
  replacePending,
  setCredentialStatus,
} from "../repository/credential.ts";
import type { Environment } from "../repository/environment.ts";
import { findIdentity, type Identity, lockIdentity, settleIdentity } from "../repository/identity.ts";
import { change, type Request } from "./change.ts";
import { ensureIdentity, type IdentitySpec } from "./identity-create.ts";
import { notFound, requireEnvironment } from "./lookup.ts";

/** Lifetime of a credential where nothing is said: 90 days. */
export const DEFAULT_LIFE = 90 * 86_400;
/** Time for the first use where nothing is said: 24 hours. */
export const DEFAULT_ACTIVATION = 86_400;
/** Longest time that a superseded credential may live on: 24 hours (SPEC §5). */
export const MAX_GRACE = 86_400;
/** Grace where nothing is said: an hour. */
export const DEFAULT_GRACE = 3_600;

export interface Issuance {
  /** The identity by slug, or what to create where there is none. */
  readonly identity: string | IdentitySpec;
  readonly name: string;
  /** null: none for a new credential, the predecessor's for a rotation. */
  readonly scopes: readonly string[] | null;
  /** Seconds; "never" for no end. */
  readonly expiresIn: number | "never";
  /** Seconds. */
  readonly activateWithin: number;
  /** What is kept of the secret, which its maker holds: a file, a person, another machine. */
  readonly secret: Commitment;
  readonly replacePending: boolean;
}

export interface Rotation extends Issuance {
  /** Seconds that the predecessor lives on after the first use. */
  readonly grace: number;
  /** Public id of the credential that must be current, or, for a retry, that was replaced. */
  readonly expectCurrent: string | null;
  readonly compromised: boolean;
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

/**
 * Issues a pending credential, creating its identity in the same transaction where a spec is given. Safe to repeat
 * with the same secret. Throws `conflict` where the name has a current or another pending credential, `not_found`
 * for the identity, and what the guards say.
 */
export function issueCredential(
  db: Database,
  request: Request,
  issuance: Issuance,
  seen: Seen,
): Promise<Issued> {
  return change(db, request, (tx) => issueWithin(tx, request, issuance, seen));
}

/** Issues a successor of the current credential; nothing changes for that one before the successor's first use. */
export function rotateCredential(
  db: Database,
  request: Request,
  rotation: Rotation,
  seen: Seen,
): Promise<Issued> {
  return change(db, request, (tx) => rotateWithin(tx, request, rotation, seen));
}

/** `issueCredential` inside a transaction that is open already and has said who acts. */
export async function issueWithin(tx: Tx, request: Request, issuance: Issuance, seen: Seen): Promise<Issued> {
  const identity = await holdIdentity(tx, request, issuance);
  requireEnd(issuance, seen.environment);
  const { known, current, pending } = await readStanding(tx, issuance, identity);
  if (known !== null) return retried(known, issuance, identity, "issue", null);
  if (current !== null) {
    throw new MidctlError(
      "conflict",
      `${identity.slug} has the current credential ${current.id} named ${issuance.name} already; nothing was issued.`,
      {
        hint: `Use midctl credential rotate ${identity.slug}${named(issuance.name)}, or another --name.`,
        details: { current: current.id },
      },
    );
  }
  await giveWay(tx, issuance, identity, pending, seen);
  return write(tx, request, issuance, identity, {
    replaces: null,
    scopes: issuance.scopes ?? [],
    grace: 0,
    revoked: [],
  });
}

/** `rotateCredential` inside a transaction that is open already and has said who acts. */
export async function rotateWithin(
  tx: Tx,
  request: Request,
  rotation: Rotation,
  seen: Seen,
): Promise<Issued> {
  const identity = await holdIdentity(tx, request, rotation);
  requireEnd(rotation, seen.environment);
  const { known, current, pending } = await readStanding(tx, rotation, identity);
  if (known !== null) return retried(known, rotation, identity, "rotate", rotation.expectCurrent);
  const live = rotation.compromised ? await readLive(tx, identity.slug, rotation.name) : [];
  const latest = live[0] === undefined ? null : await findCredential(tx, live[0]);
  const predecessor = current ?? latest;
  if (predecessor === null) {
    throw new MidctlError(
      "conflict",
      `${identity.slug} has no current credential named ${rotation.name} to rotate; nothing was issued.`,
      {
        hint:
          pending === null
            ? `Use midctl credential issue ${identity.slug}${named(rotation.name)}.`
            : `${pending.id} waits for its first use; activate it first, or use credential issue --replace-pending.`,
      },
    );
  }
  if (rotation.expectCurrent !== null && predecessor.id !== `mc_${rotation.expectCurrent}`) {
    throw new MidctlError(
      "conflict",
      `The current credential of ${identity.slug} is ${predecessor.id}, not mc_${rotation.expectCurrent}; nothing was issued.`,
      {
        hint: "Somebody rotated meanwhile. Look at midctl identity show and decide again.",
        details: { current: predecessor.id },
      },
    );
  }
  const changed = seen.holders.current?.id;
  if (!rotation.compromised && changed !== undefined && changed !== predecessor.id) {
    throw new MidctlError(
      "conflict",
      `${identity.slug} was rotated meanwhile: ${predecessor.id} is current now, it was ${changed}. Nothing was issued.`,
      { hint: "Look again and rotate that one if it is still needed.", details: { current: predecessor.id } },
    );
  }
  if (rotation.compromised) {
    for (const publicId of live) await setCredentialStatus(tx, publicId, "revoked");
  } else {
    await giveWay(tx, rotation, identity, pending, seen);
  }
  return write(tx, request, rotation, identity, {
    replaces: predecessor.id.slice(3),
    scopes: rotation.scopes ?? predecessor.scopes,
    grace: rotation.grace,
    revoked: live,
  });
}

/** Ends a pending credential whose secret could not be handed over. True where it can no longer authenticate. */
export function withdrawCredential(db: Database, request: Request, publicId: string): Promise<boolean> {
  return change(
    db,
    { ...request, reason: request.reason ?? "the secret could not be delivered" },
    async (tx) => {
      const credential = await findCredential(tx, publicId);
      if (credential === null) return true;
      await lockIdentity(tx, credential.identity);
      if (credential.status === "pending") await setCredentialStatus(tx, publicId, "revoked");
      return credential.status !== "active";
    },
  );
}

async function holdIdentity(tx: Tx, request: Request, issuance: Issuance): Promise<Identity> {
  let identity: Identity | null;
  if (typeof issuance.identity === "string") {
    identity = await lockIdentity(tx, issuance.identity);
    if (identity === null) throw await notFound(tx, { kind: "identity", slug: issuance.identity });
  } else {
    identity = (await ensureIdentity(tx, request.actor.name, issuance.identity)).identity;
  }
  const { effectiveStatus, slug } = identity;
  if (
    effectiveStatus === "revoked" ||
    effectiveStatus === "identity_revoked" ||
    effectiveStatus === "expired"
  ) {
    const why =
      effectiveStatus === "expired" ? "has expired, or an ancestor has" : "is revoked, or an ancestor is";
    throw new MidctlError("conflict", `${slug} ${why}; nothing was issued.`, {
      hint: "An ended identity gets no new credentials. Create a new identity.",
      details: { slug, effectiveStatus },
    });
  }
  return identity;
}

/** What the name holds once the clock's changes are stored, and whether this very secret is known. */
async function readStanding(
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

function requireEnd(issuance: Issuance, environment: Environment): void {
  if (issuance.expiresIn === "never" && environment.protected) {
    throw new MidctlError(
      "usage",
      `${environment.name} is protected, and there every credential has an end; nothing was issued.`,
      { hint: "Give --expires a duration, such as 90d." },
    );
  }
}

/** The retry rule of SPEC §4: this very secret is known already, and the call asks for what was done with it. */
function retried(
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
async function giveWay(
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

async function write(
  tx: Tx,
  request: Request,
  issuance: Issuance,
  identity: Identity,
  plan: { replaces: string | null; scopes: readonly string[]; grace: number; revoked: readonly string[] },
): Promise<Issued> {
  const { secret } = issuance;
  const [written, credential, made] = await Promise.all([
    insertCredential(tx, {
      publicId: secret.publicId,
      tokenHash: secret.hash,
      tokenPrefix: `mid_${secret.environment}`,
      live: secret.environment === "live",
      identity: identity.slug,
      name: issuance.name,
      scopes: plan.scopes,
      expiresIn: issuance.expiresIn === "never" ? null : issuance.expiresIn,
      activateWithin: issuance.activateWithin,
      replaces: plan.replaces,
      grace: plan.grace,
      issuedBy: request.actor.name,
    }),
    findCredential(tx, secret.publicId),
    findIdentity(tx, identity.slug),
  ]);
  if (!written) {
    throw new MidctlError(
      "conflict",
      `The token is a ${secret.environment} token, and this environment is not ${secret.environment}; nothing was issued.`,
      { hint: "Make the token for this environment: midctl status names its kind." },
    );
  }
  if (credential === null || made === null)
    throw new MidctlError("internal", "The credential was written and cannot be read; nothing was issued.");
  return { created: true, identity: made, credential, revoked: plan.revoked };
}

function named(name: string): string {
  return name === "default" ? "" : ` --name ${name}`;
}
