import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  formatCredential,
  formatReference,
  formatToken,
  parseReference,
  type Reference,
} from "../domain/reference.ts";
import { findCredential, lockOwner, setCredentialStatus } from "../repository/credential.ts";
import { findIdentity, lockIdentity, setIdentityStatus, settleIdentity } from "../repository/identity.ts";
import {
  type CredentialStanding,
  type IdentityStanding,
  readCredentialStandings,
  readIdentityStandings,
} from "../repository/standing.ts";
import {
  type LegacyToken,
  lockLegacyToken,
  readLegacyTokens,
  revokeLegacyToken,
} from "../repository/token.ts";
import { change, type Request } from "./change.ts";
import { awaitLetGo, type LetGo } from "./let-go.ts";
import { notFound } from "./lookup.ts";

/** The three control actions share everything but the status they ask for. */
export type ControlStatus = "paused" | "active" | "revoked";

const VERBS: Readonly<Record<ControlStatus, { verb: string; done: string }>> = {
  paused: { verb: "pause", done: "paused" },
  active: { verb: "resume", done: "resumed" },
  revoked: { verb: "revoke", done: "revoked" },
};

export interface Controlled {
  readonly ref: string;
  readonly kind: "identity" | "credential" | "token";
  /** False where it stood so already. */
  readonly changed: boolean;
  /** Stored status now. */
  readonly status: string;
  /** What it amounts to now; after a resume under a paused or revoked ancestor it is still refused. */
  readonly effectiveStatus: string;
  /** How the verifiers let go of it; null where that was not waited for, or there was nothing to wait for. */
  readonly letGo: LetGo | null;
}

/** What the operator saw before deciding; a change between then and the lock is a conflict, never overridden. */
export interface Target {
  readonly reference: Reference;
  readonly status: string;
  readonly version: number;
  /** What a person is told before confirming. */
  readonly title: string;
}

/** Reads what is to be acted on, before anybody is asked. Throws `not_found`, and `usage` for an approval. */
export async function readTarget(db: Tx, text: string): Promise<Target> {
  const [target] = await readTargets(db, [parseTarget(text)]);
  return target as Target;
}

/** A reference to something that can be paused, resumed or revoked. Throws `usage`. */
export function parseTarget(text: string): Reference {
  const reference = parseReference(text);
  if (reference.kind !== "approval") return reference;
  throw new MidctlError("usage", `${text} is an approval; nothing was changed.`, {
    hint: `Use midctl approval cancel ${text}.`,
  });
}

/** Reads several by a statement for each kind, in the order given. Throws `not_found` for the first that there is not. */
export async function readTargets(db: Tx, references: readonly Reference[]): Promise<Target[]> {
  const slugs = references.flatMap((each) => (each.kind === "identity" ? [each.slug] : []));
  const ids = references.flatMap((each) => (each.kind === "identity" ? [] : [each.publicId]));
  const identities = slugs.length === 0 ? [] : await readIdentityStandings(db, slugs);
  const credentials = ids.length === 0 ? [] : await readCredentialStandings(db, ids);
  const bySlug = new Map(identities.map((each) => [each.slug, each]));
  const byId = new Map(credentials.map((each) => [each.publicId, each]));
  const others = references.flatMap((each) =>
    each.kind === "token" && !byId.has(each.publicId) ? [each.publicId] : [],
  );
  const legacy = others.length === 0 ? [] : await readLegacyTokens(db, others);
  const byToken = new Map(legacy.map((each) => [each.publicId, each]));

  const targets: Target[] = [];
  for (const reference of references) {
    const identity = reference.kind === "identity" ? bySlug.get(reference.slug) : undefined;
    const credential = reference.kind === "identity" ? undefined : byId.get(reference.publicId);
    const token = reference.kind === "token" ? byToken.get(reference.publicId) : undefined;
    if (identity !== undefined) targets.push(targetIdentity(identity));
    else if (credential !== undefined) targets.push({ ...targetCredential(credential), reference });
    else if (token !== undefined) targets.push(targetLegacy(token));
    else throw await notFound(db, reference);
  }
  return targets;
}

export function targetIdentity({ slug, owner, status, version }: IdentityStanding): Target {
  return { reference: { kind: "identity", slug }, status, version, title: `${slug} (${owner})` };
}

export function targetCredential({ publicId, identity, status, version }: CredentialStanding): Target {
  const title = `${formatCredential(publicId)} of ${identity}`;
  return { reference: { kind: "credential", publicId }, status, version, title };
}

function targetLegacy({ publicId, name, effectiveStatus }: LegacyToken): Target {
  const title = `${formatToken(publicId)} (legacy token ${name})`;
  return { reference: { kind: "token", publicId }, status: effectiveStatus, version: 0, title };
}

/**
 * One control action on one target: one transaction; then, for what ends or halts a life, every verifier is waited for.
 * Also where it stood so already: whoever made it so may be waiting still. Throws `illegal_transition` and `conflict`.
 */
export async function controlTarget(
  db: Database,
  request: Request,
  target: Target,
  status: ControlStatus,
): Promise<Controlled> {
  const controlled = await change(db, request, (tx) => controlWithin(tx, target, status));
  if (status === "active" || request.dryRun === true || request.noWait === true) return controlled;
  request.onCommitted?.();
  try {
    return { ...controlled, letGo: await awaitLetGo(db) };
  } catch (cause) {
    throw new MidctlError(
      "unavailable",
      `${controlled.ref} is ${controlled.status}, and that stands; but the database was lost before every verifier was seen to let go.`,
      {
        hint: "Run the command again: it changes nothing and waits for them.",
        details: { ref: controlled.ref, status: controlled.status, changed: controlled.changed },
        cause,
      },
    );
  }
}

/** The same within a host's transaction, or any other: nobody is waited for, since nothing is committed yet. */
export async function controlWithin(tx: Tx, target: Target, status: ControlStatus): Promise<Controlled> {
  if (target.reference.kind === "identity") return controlIdentity(tx, target, target.reference.slug, status);
  const publicId = (target.reference as { publicId: string }).publicId;
  const owner = await lockOwner(tx, publicId);
  if (owner === null) return controlLegacy(tx, target, publicId, status);
  await settleIdentity(tx, owner);
  return controlCredential(tx, target, publicId, status);
}

async function controlIdentity(
  tx: Tx,
  target: Target,
  slug: string,
  status: ControlStatus,
): Promise<Controlled> {
  const locked = await lockIdentity(tx, slug);
  if (locked === null) throw await notFound(tx, target.reference);
  await settleIdentity(tx, slug);
  const before = await findIdentity(tx, slug);
  const change = before?.status !== status;
  if (before !== null && change) {
    if (before.status === "revoked") throw isFinal(slug, "revoked", status);
    // As it was found: what the clock alone has just made of it (idle, so paused) is nobody's change.
    refuseMoved(target, locked);
    await setIdentityStatus(tx, slug, status);
  }
  const after = await findIdentity(tx, slug);
  return result(target, "identity", change, after?.status ?? status, after?.effectiveStatus ?? status);
}

async function controlCredential(
  tx: Tx,
  target: Target,
  publicId: string,
  status: ControlStatus,
): Promise<Controlled> {
  const before = await findCredential(tx, publicId);
  if (before === null) throw await notFound(tx, target.reference);
  const change = before.status !== status;
  if (change) {
    if (before.status === "revoked" || before.status === "abandoned")
      throw isFinal(before.id, before.status, status);
    if (status !== "revoked" && before.status === "superseded") {
      throw new MidctlError(
        "illegal_transition",
        `${before.id} is superseded and can only be revoked; nothing was changed.`,
        {
          hint: `Its grace ends by itself. midctl revoke ${before.id} ends it now.`,
          details: { credential: before.id, status: before.status },
        },
      );
    }
    if (status !== "revoked" && before.status === "pending") {
      throw new MidctlError(
        "illegal_transition",
        `${before.id} is pending: nobody has used it yet, so it cannot be ${VERBS[status].done}. Nothing was changed.`,
        {
          hint:
            status === "paused"
              ? `Pause ${before.identity}, or revoke ${before.id}.`
              : `midctl credential activate proves its secret.`,
          details: { credential: before.id, status: before.status },
        },
      );
    }
    refuseMoved(target, before);
    await setCredentialStatus(tx, publicId, status);
  }
  const after = await findCredential(tx, publicId);
  return result(target, "credential", change, after?.status ?? status, after?.effectiveStatus ?? status);
}

async function controlLegacy(
  tx: Tx,
  target: Target,
  publicId: string,
  status: ControlStatus,
): Promise<Controlled> {
  const legacy = await lockLegacyToken(tx, publicId);
  if (legacy === null) throw await notFound(tx, target.reference);
  if (status !== "revoked") {
    throw new MidctlError(
      "illegal_transition",
      `at_${publicId} is a legacy token and can only be revoked; nothing was changed.`,
      {
        hint: `midctl identity adopt at_${publicId} gives it an identity, which can be ${VERBS[status].done}.`,
      },
    );
  }
  const change = legacy.revokedAt === null;
  if (change) await revokeLegacyToken(tx, publicId);
  return result(target, "token", change, "revoked", "revoked");
}

/** Two operators at once: another outcome than the one that was seen is theirs to decide on again. */
function refuseMoved(target: Target, now: { readonly status: string; readonly version: number }): void {
  if (now.version === target.version) return;
  throw new MidctlError(
    "conflict",
    `${formatReference(target.reference)} changed meanwhile: it was ${target.status} and is ${now.status} now. Nothing was changed.`,
    {
      hint: "Look again, then repeat the command if it is still wanted.",
      details: { was: target.status, is: now.status },
    },
  );
}

function isFinal(ref: string, is: string, wanted: ControlStatus): MidctlError {
  return new MidctlError(
    "illegal_transition",
    `${ref} is ${is}, which is final; it was not ${VERBS[wanted].done}.`,
    {
      hint: ref.startsWith("mc_") ? "Issue a new credential." : "Create a new identity.",
      details: { ref, status: is },
    },
  );
}

function result(
  target: Target,
  kind: Controlled["kind"],
  changed: boolean,
  status: string,
  effectiveStatus: string,
): Controlled {
  return {
    ref: formatReference(target.reference),
    kind,
    changed,
    status,
    effectiveStatus,
    letGo: null,
  };
}
