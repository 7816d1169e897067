import type { Tx } from "../db/database.ts";
import { type Credential, readCredentials } from "../repository/credential.ts";
import { findIdentity, type Identity, readAncestors, readChildren } from "../repository/identity.ts";
import { type AuditEvent, readEvents } from "../repository/log.ts";
import { notFound } from "./lookup.ts";

const CREDENTIALS_SHOWN = 20;
const CHILDREN_SHOWN = 50;
const EVENTS_SHOWN = 10;

export interface IdentityWhole {
  readonly identity: Identity;
  /** Newest first, at most 20. */
  readonly credentials: readonly Credential[];
  /** Parent first. */
  readonly ancestors: readonly string[];
  /** In slug order, at most 50. */
  readonly children: readonly { readonly slug: string; readonly effectiveStatus: string }[];
  /** Newest first, at most 10: what was done to it, and what it did. */
  readonly events: readonly AuditEvent[];
}

/** One whole identity. Throws `not_found` with a suggestion. */
export async function showIdentity(db: Tx, slug: string): Promise<IdentityWhole> {
  const identity = await findIdentity(db, slug);
  if (identity === null) throw await notFound(db, { kind: "identity", slug });
  const [credentials, ancestors, children, page] = await Promise.all([
    readCredentials(db, slug, CREDENTIALS_SHOWN),
    readAncestors(db, slug),
    readChildren(db, slug, CHILDREN_SHOWN),
    readEvents(db, { identity: slug, limit: EVENTS_SHOWN }),
  ]);
  return { identity, credentials, ancestors, children, events: page.events };
}
