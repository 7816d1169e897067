import { AGAINST, verifyAgainst } from "../../domain/evidence.ts";
import type { Witnessed } from "../../operations/evidence.ts";
import type { Evidence } from "../../repository/evidence.ts";
import type { Cell } from "../view.ts";

/** When the log was last verified and anchored; nothing for whoever may not read that. */
export function witnessedFields(log: Witnessed | null): [string, Cell][] {
  if (log === null) return [];
  return [
    ["log", entries(log.size)],
    ["verified", log.verified === null ? never("verified") : verified(log.verified)],
    ["anchored", log.anchored === null ? never("anchored") : anchored(log.anchored)],
    ...log.found.map((each): [string, Cell] => ["found wrong", found(each)]),
  ];
}

function never(what: "verified" | "anchored"): Cell {
  return `never: midctl audit ${what === "verified" ? "verify" : "checkpoint --key FILE --out FILE"}`;
}

function verified({ at, against, from, size, compared, found }: Evidence): Cell {
  const which = from === 0 ? entries(size) : `${entries(size - from)} from ${from} on`;
  const reached = compared === 0 ? "" : ` of ${entries(compared)}`;
  const outcome = found === 0 ? "" : `, ${found} found to be wrong`;
  return when(at, `, against ${AGAINST[against]}${reached}, ${which} read${outcome}`);
}

function found({ at, against, found: count }: Evidence): Cell {
  return when(
    at,
    `, against ${AGAINST[against]}, ${count} thing${count === 1 ? "" : "s"}: \`${verifyAgainst(against)}\` names ${count === 1 ? "it" : "them"}`,
  );
}

function anchored({ at, against, size }: Evidence): Cell {
  return when(at, `, by ${against === "export" ? "an export" : "a checkpoint"} of ${entries(size)}`);
}

/** Whoever owns the database may have written there what is no moment. */
function when(at: string | null, after: string): Cell {
  return at === null ? `at no moment that there is${after}` : { time: at, after };
}

function entries(count: number): string {
  return `${count} ${count === 1 ? "entry" : "entries"}`;
}
