import type { EventDocument } from "../documents.ts";
import { type Block, type Cell, type Column, time } from "../view.ts";
import { tellEvent } from "./event-story.ts";

/** A person reads what happened; a program that takes tab-separated text apart finds what it happened to. */
export const EVENT_COLUMNS: readonly Column[] = [
  { title: "WHEN", fixed: true },
  { title: "ID", fixed: true, only: "table" },
  { title: "WHO" },
  { title: "WHAT", words: true, only: "table" },
  { title: "ACTION", only: "plain" },
  { title: "IDENTITY", only: "plain" },
  { title: "CREDENTIAL", only: "plain" },
  { title: "WHY", words: true, ifAny: true },
  { title: "APPROVAL", fixed: true, ifAny: true, optional: true },
  { title: "ID", only: "plain" },
];

/** Events as a table that tells a story: when, by which id it is asked for, who, what to whom, why, and by whose leave. */
export function eventTable(events: readonly EventDocument[], empty: string): Block {
  return { kind: "table", columns: EVENT_COLUMNS, rows: events.map(eventRow), empty };
}

/** One event as a row under `EVENT_COLUMNS`. */
export function eventRow(event: EventDocument): readonly Cell[] {
  return [
    time(event.at),
    event.id,
    event.actor.name,
    tellEvent(event),
    event.action,
    event.machineIdentity?.slug ?? null,
    event.credential,
    event.reason,
    event.approval,
    event.id,
  ];
}

/** One event as a line of its own, for what has no end: the time by the clock, in UTC. */
export function eventLine(event: EventDocument): Block {
  const { at, id, actor, reason, approval } = event;
  const row = eventRow(event);
  return {
    kind: "line",
    words: true,
    cells: [
      { text: `${at.slice(0, 10)} ${at.slice(11, 19)}Z  ${id}  `, tone: "faint" },
      { text: actor.name ?? "somebody", tone: "strong" },
      ` ${tellEvent(event)}`,
      ...(reason === null ? [] : [`: ${reason}`]),
      ...(approval === null ? [] : [{ text: `  (${approval})`, tone: "faint" } as const]),
    ],
    plain: row.filter((_, index) => EVENT_COLUMNS[index]?.only !== "table"),
  };
}
