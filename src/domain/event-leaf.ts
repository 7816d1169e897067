import { canonicalText } from "./canonical.ts";
import { hashLeaf } from "./merkle.ts";

/** What is sealed of an agent event: its own words, and by public ids whose it was. */
export interface SealedEvent {
  /** Public id. */
  readonly id: string;
  /** RFC 3339 in UTC, to the microsecond. */
  readonly at: string | null;
  readonly action: string;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly metadata: string | null;
  readonly token: string | null;
  readonly identity: string | null;
  readonly workspace: string | null;
}

/** The hash of an event in the tree over its batch (migrations/…_seals.sql): of its canonical JSON (RFC 8785), as of an entry. */
export function hashEvent(event: SealedEvent): Buffer {
  const { id, at, action, entityType, entityId, metadata, token, identity, workspace } = event;
  const said = { v: 1, id, at, action, entityType, entityId, metadata, token, identity, workspace };
  return hashLeaf(canonicalText(said));
}
