import type { Tx } from "../db/database.ts";
import { type Credential, readCredentials } from "../repository/credential.ts";
import { findIdentity, type Identity } from "../repository/identity.ts";
import {
  countLineage,
  type Descendant,
  type LineageCounts,
  type Relative,
  readAncestors,
  readDescendants,
} from "../repository/lineage.ts";
import { type AuditEvent, readEvents } from "../repository/log.ts";
import { notFound } from "./lookup.ts";

const CREDENTIALS_SHOWN = 20;
const RELATIVES_SHOWN = 50;
const EVENTS_SHOWN = 10;

export interface IdentityWhole {
  readonly identity: Identity;
  /** Newest first, at most 20. */
  readonly credentials: readonly Credential[];
  /** Parent first, at most 50. */
  readonly ancestors: readonly Relative[];
  /** Those of `descendants` that it spawned itself, in slug order. */
  readonly children: readonly Relative[];
  /** Nearest first, at most 50; the parent of each is shown too. */
  readonly descendants: readonly Descendant[];
  readonly counts: LineageCounts;
  /** Newest first, at most 10: what was done to it, and what it did. */
  readonly events: readonly AuditEvent[];
}

/** One whole identity. Throws `not_found` with a suggestion. */
export async function showIdentity(db: Tx, slug: string): Promise<IdentityWhole> {
  const identity = await findIdentity(db, slug);
  if (identity === null) throw await notFound(db, { kind: "identity", slug }, "nothing was shown");
  const [credentials, ancestors, descendants, counts, page] = await Promise.all([
    readCredentials(db, slug, CREDENTIALS_SHOWN),
    readAncestors(db, slug, RELATIVES_SHOWN),
    readDescendants(db, slug, RELATIVES_SHOWN),
    countLineage(db, slug),
    readEvents(db, { identity: slug, limit: EVENTS_SHOWN }),
  ]);
  const children = descendants
    .filter(({ depth }) => depth === 1)
    .map(({ slug, effectiveStatus }) => ({ slug, effectiveStatus }));
  return { identity, credentials, ancestors, children, descendants, counts, events: page.events };
}
