import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import {
  findCredential,
  findCredentialByHash,
  lockOwner,
  setCredentialStatus,
} from "../repository/credential.ts";
import { change, type Request } from "./change.ts";
import {
  giveWay,
  holdIdentity,
  type Issuance,
  type Issued,
  named,
  readStanding,
  requireEnd,
  retried,
  type Seen,
  writeCredential,
} from "./issuance.ts";

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
  return writeCredential(tx, request, issuance, identity, {
    replaces: null,
    scopes: issuance.scopes ?? [],
    grace: 0,
    revoked: [],
  });
}

/** Whether some credential was issued with this secret. @param hash hex */
export async function isIssued(db: Tx, hash: string): Promise<boolean> {
  return (await findCredentialByHash(db, hash)) !== null;
}

/** Ends a pending credential whose secret could not be handed over. True where it can no longer authenticate. */
export function withdrawCredential(db: Database, request: Request, publicId: string): Promise<boolean> {
  return change(
    db,
    { ...request, reason: request.reason ?? "the secret could not be delivered" },
    async (tx) => {
      // Read under the lock: somebody may hold the secret after all, and use it now.
      await lockOwner(tx, publicId);
      const credential = await findCredential(tx, publicId);
      if (credential === null) return true;
      if (credential.status === "pending") await setCredentialStatus(tx, publicId, "revoked");
      return credential.status !== "active";
    },
  );
}
