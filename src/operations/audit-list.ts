import type { Tx } from "../db/database.ts";
import { findIdentity } from "../repository/identity.ts";
import { type AuditEvent, type EventFilter, readEvents } from "../repository/log.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import { notFound } from "./lookup.ts";

export interface AuditQuery extends Omit<EventFilter, "cursor"> {
  readonly cursor?: string;
}

export interface AuditPage {
  readonly events: readonly AuditEvent[];
  readonly nextCursor: string | null;
}

/** What was done to identities and what agents did, newest first. Throws `not_found` for the identity, `usage` for a cursor. */
export async function listAudit(db: Tx, query: AuditQuery): Promise<AuditPage> {
  const { cursor, ...filter } = query;
  if (filter.identity !== undefined && (await findIdentity(db, filter.identity)) === null) {
    throw await notFound(db, { kind: "identity", slug: filter.identity });
  }
  const [at, source, number] = cursor === undefined ? [] : readCursor("audit", cursor, 3);
  const page = await readEvents(db, {
    ...filter,
    ...(at !== undefined && number !== undefined
      ? { cursor: { at, source: source === "1" ? 1 : 0, number } }
      : {}),
  });
  return {
    events: page.events,
    nextCursor:
      page.next === null
        ? null
        : writeCursor("audit", [page.next.at, String(page.next.source), page.next.number]),
  };
}
