import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { EventCursor, EventFilter } from "../repository/event-filter.ts";
import { findIdentity } from "../repository/identity.ts";
import { type AuditEvent, isHeardOf, readEvents } from "../repository/log.ts";
import { SHOWN_AT_ONCE } from "../repository/log-size.ts";
import { beginsWithMoment, readCursor, writeCursor } from "./cursor.ts";
import { notFound } from "./lookup.ts";

export interface AuditQuery extends EventFilter {
  /** Events of one page, 1 to 1000. */
  readonly limit: number;
  readonly cursor?: string;
}

export interface AuditPage {
  readonly events: readonly AuditEvent[];
  readonly nextCursor: string | null;
}

/** Events that one statement looks at for `grep`: so long does the server go on for whoever has left. */
const WINDOW = 5_000;

/**
 * What was done to identities and what agents did, newest first; fewer than asked for where they are large. Throws `not_found` for the identity, and for a credential that nobody ever heard of; `usage` for a cursor.
 * @param onScanned told how many events were looked at so far, where none is found by an index (`grep`)
 */
export async function listAudit(
  db: Tx,
  query: AuditQuery,
  onScanned: (events: number) => void = () => undefined,
): Promise<AuditPage> {
  const { cursor, limit, ...filter } = query;
  if (filter.identity !== undefined && (await findIdentity(db, filter.identity)) === null) {
    throw await notFound(db, { kind: "identity", slug: filter.identity }, "nothing was read");
  }
  let at = cursor === undefined ? null : parsePosition(cursor);
  const events: AuditEvent[] = [];
  let scanned = 0;
  let room = SHOWN_AT_ONCE;
  do {
    const page = await readEvents(
      db,
      { ...filter, limit: limit - events.length, ...(at === null ? {} : { cursor: at }) },
      WINDOW,
      room,
    );
    events.push(...page.events);
    at = page.next;
    scanned += page.scanned;
    room -= page.bytes;
    if (filter.grep !== undefined) onScanned(scanned);
  } while (at !== null && events.length < limit && room > 0);
  if (events.length === 0 && cursor === undefined && filter.credential !== undefined) {
    await requireHeardOf(db, filter.credential);
  }
  return {
    events,
    nextCursor: at === null ? null : writeCursor("audit", [at.at, String(at.source), at.number]),
  };
}

/** Mistyped, it would look as if nothing had ever happened to it. */
async function requireHeardOf(db: Tx, publicId: string): Promise<void> {
  if (await isHeardOf(db, publicId)) return;
  const { code, hint, details } = await notFound(db, { kind: "credential", publicId });
  throw new MidctlError(
    code,
    `There is neither a credential mc_${publicId} nor a token at_${publicId} in this database, and the log never heard of one; nothing was read.`,
    { ...(hint === null ? {} : { hint }), details },
  );
}

const POSITION = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:\d{3})?Z [01] \d{1,18}$/;

/** @throws MidctlError `usage` */
function parsePosition(cursor: string): EventCursor {
  const [at = "", source = "", number = ""] = readCursor(
    "audit",
    cursor,
    3,
    (parts) => POSITION.test(parts) && beginsWithMoment(parts),
  );
  return { at, source: source === "1" ? 1 : 0, number };
}
