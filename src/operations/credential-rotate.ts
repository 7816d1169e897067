import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { findCredential, readLive, setCredentialStatus } from "../repository/credential.ts";
import type { Identity } from "../repository/identity.ts";
import { change, type Request } from "./change.ts";
import {
  giveWay,
  holdIdentity,
  type Issuance,
  type Issued,
  named,
  type Plan,
  readStanding,
  requireEnd,
  retried,
  type Seen,
  writeCredential,
  writeUnread,
} from "./issuance.ts";
import { awaitLetGo, type LetGo } from "./let-go.ts";

/** Longest time that a superseded credential may live on: 24 hours (SPEC §5). */
export const MAX_GRACE = 86_400;
/** Grace where nothing is said: an hour. */
export const DEFAULT_GRACE = 3_600;

export interface Rotation extends Issuance {
  /** Seconds that the predecessor lives on after the first use. */
  readonly grace: number;
  /** Public id of the credential that must be current, or, for a retry, that was replaced. */
  readonly expectCurrent: string | null;
  readonly compromised: boolean;
}

export interface Rotated extends Issued {
  /** How the verifiers let go of what `--compromised` revoked; null where nothing was, or that could not be seen. */
  readonly letGo: LetGo | null;
}

/** Issues a successor of the current credential; nothing changes for that one before the successor's first use. */
export async function rotateCredential(
  db: Database,
  request: Request,
  rotation: Rotation,
  seen: Seen,
): Promise<Rotated> {
  const issued = await change(db, request, (tx) => rotateWithin(tx, request, rotation, seen));
  if (issued.revoked.length === 0 || request.dryRun === true || request.noWait === true)
    return { ...issued, letGo: null };
  request.onCommitted?.();
  // What was issued has yet to be delivered, so this never throws.
  return { ...issued, letGo: await awaitLetGo(db).catch(() => null) };
}

/** `rotateCredential` inside a transaction that is open already and has said who acts. */
export async function rotateWithin(
  tx: Tx,
  request: Request,
  rotation: Rotation,
  seen: Seen,
): Promise<Issued> {
  const standing = await clearTheWay(tx, request, rotation, seen);
  if ("created" in standing) return standing;
  return writeCredential(tx, request, rotation, standing.identity, standing.plan);
}

/** As `rotateWithin`, for whoever needs no answer: of many, reading each back takes a third of the time. */
export async function rotateUnread(tx: Tx, request: Request, rotation: Rotation, seen: Seen): Promise<void> {
  const standing = await clearTheWay(tx, request, rotation, seen);
  if (!("created" in standing)) await writeUnread(tx, request, rotation, standing.identity, standing.plan);
}

/** All but the writing: refuses, ends what has to end, and says what is to be written; or what was issued before, for a retry. */
async function clearTheWay(
  tx: Tx,
  request: Request,
  rotation: Rotation,
  seen: Seen,
): Promise<Issued | { readonly identity: Identity; readonly plan: Plan }> {
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
  return {
    identity,
    plan: {
      replaces: predecessor.id.slice(3),
      scopes: rotation.scopes ?? predecessor.scopes,
      grace: rotation.grace,
      revoked: live,
    },
  };
}
