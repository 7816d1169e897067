import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseReference } from "../domain/reference.ts";
import { type Credential, findCredential } from "../repository/credential.ts";
import { findIdentity, type Identity } from "../repository/identity.ts";
import { type AuditEvent, readEvents } from "../repository/log.ts";
import { notFound } from "./lookup.ts";

const EVENTS_SHOWN = 20;

export interface CredentialWhole {
  readonly credential: Credential;
  readonly identity: Identity;
  /** Newest first. */
  readonly events: readonly AuditEvent[];
}

/** One credential by `mc_…` (or its token `at_…`), with its identity and its life so far. Throws `not_found`, `usage`. */
export async function showCredential(db: Tx, text: string): Promise<CredentialWhole> {
  const reference = parseReference(text);
  if (reference.kind === "identity" || reference.kind === "approval") {
    throw new MidctlError("usage", `${text} is not a credential.`, {
      hint:
        reference.kind === "identity"
          ? `midctl identity show ${text} lists its credentials.`
          : "Give an mc_… reference.",
    });
  }
  const credential = await findCredential(db, reference.publicId);
  if (credential === null) throw await notFound(db, reference, "nothing was shown");
  const [identity, page] = await Promise.all([
    findIdentity(db, credential.identity),
    readEvents(db, { credential: reference.publicId, limit: EVENTS_SHOWN }),
  ]);
  if (identity === null) throw new MidctlError("internal", `${credential.id} has no identity.`);
  return { credential, identity, events: page.events };
}
