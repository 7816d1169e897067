import type { EventDocument } from "../documents.ts";
import { type Block, type Cell, time } from "../view.ts";

/** Events as a table that tells a story: when, who did what to which, why, and by whose leave. */
export function eventTable(events: readonly EventDocument[], empty: string): Block {
  const approved = events.some(({ approval }) => approval !== null);
  return {
    kind: "table",
    columns: [
      { title: "WHEN" },
      { title: "ACTOR" },
      { title: "ACTION", fixed: true },
      { title: "IDENTITY", fixed: true },
      { title: "CREDENTIAL", optional: true },
      { title: "REASON", optional: true },
      ...(approved ? [{ title: "APPROVAL", optional: true }] : []),
    ],
    rows: events.map((event): readonly Cell[] => [
      time(event.at),
      event.actor.name,
      event.action,
      event.machineIdentity?.slug ?? null,
      event.credential,
      event.reason,
      ...(approved ? [event.approval] : []),
    ]),
    empty,
  };
}
