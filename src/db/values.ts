import { MidctlError } from "../domain/errors.ts";
import type { Param } from "./database.ts";

/**
 * How a column's text becomes a JavaScript value: one table for every driver, so that all give the same rows. A type
 * that is not listed stays PostgreSQL's own text.
 */
type Parse = (text: string) => unknown;

const toNumber: Parse = (text) => Number(text);
const toText: Parse = (text) => text;
const toBoolean: Parse = (text) => text === "t";
const toJson: Parse = (text) => JSON.parse(text) as unknown;
const toBytes: Parse = (text) => Uint8Array.from(Buffer.from(text.slice(2), "hex"));

/** [type, its array type, parser], by OID; the OIDs are fixed in pg_type.dat. */
const TYPES: readonly (readonly [number, number, Parse])[] = [
  [16, 1000, toBoolean],
  [17, 1001, toBytes],
  [19, 1003, toText], // name
  [20, 1016, toText], // int8: does not fit a number
  [21, 1005, toNumber],
  [23, 1007, toNumber],
  [25, 1009, toText],
  [26, 1028, toNumber], // oid
  [114, 199, toJson],
  [700, 1021, toNumber],
  [701, 1022, toNumber],
  [1042, 1014, toText],
  [1043, 1015, toText],
  [1082, 1182, toText], // date
  [1083, 1183, toText], // time
  [1114, 1115, toText], // timestamp: microseconds do not fit a Date
  [1184, 1185, toText], // timestamptz
  [1186, 1187, toText], // interval
  [1266, 1270, toText], // timetz
  [1700, 1231, toText], // numeric
  [2950, 2951, toText], // uuid
  [3802, 3807, toJson],
];

/** Parsers by type OID, arrays included. */
export const PARSERS: Readonly<Record<number, Parse>> = Object.fromEntries(
  TYPES.flatMap(([type, array, parse]) => [
    [type, parse],
    [array, (text: string) => parseArray(text, parse)],
  ]),
);

const ELEMENT_OF: ReadonlyMap<number, number> = new Map(TYPES.map(([type, array]) => [array, type]));

/**
 * Makes of a value that a host's driver has parsed in its own way what our parsers would have made of it. What no
 * driver tells apart stays lost: postgres.js gives a NULL inside an array as the text `NULL`.
 */
export function normalizeValue(value: unknown, type: number): unknown {
  if (value === null || value === undefined) return null;
  const element = ELEMENT_OF.get(type);
  if (element !== undefined) {
    const items = typeof value === "string" ? parseArray(value, PARSERS[element] ?? toText) : value;
    return (items as unknown[]).map((item) => normalizeValue(item, Array.isArray(item) ? type : element));
  }
  switch (type) {
    case 20:
    case 1700:
      return String(value);
    case 17:
      return Uint8Array.from(value as Uint8Array);
    case 1184:
      return toUtc(String(value));
    default:
      return value;
  }
}

/** A host's session may be in any time zone: `2026-01-01 02:00:00.5+02` is `2026-01-01 00:00:00.5+00`. */
function toUtc(text: string): string {
  const found = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d)(?::(\d\d))?$/.exec(text);
  if (found === null || found[4] === "+00") return text;
  const [, day, time, fraction = "", hours = "", minutes = "00"] = found;
  const moment = new Date(`${day}T${time}${hours}:${minutes}`);
  return `${moment.toISOString().slice(0, 19).replace("T", " ")}${fraction}+00`;
}

/** Parses PostgreSQL's array literal (`{a,"b c",NULL,{nested}}`), whatever its dimensions; bounds are dropped. */
function parseArray(literal: string, parse: Parse): unknown[] {
  let at = literal.indexOf("{");

  function readItems(): unknown[] {
    const items: unknown[] = [];
    at += 1;
    while (literal[at] !== "}") {
      if (literal[at] === ",") at += 1;
      if (literal[at] === "{") items.push(readItems());
      else if (literal[at] === '"') items.push(parse(readQuoted()));
      else items.push(readBare());
    }
    at += 1;
    return items;
  }

  function readQuoted(): string {
    let text = "";
    for (at += 1; literal[at] !== '"'; at += 1) {
      if (literal[at] === "\\") at += 1;
      text += literal[at];
    }
    at += 1;
    return text;
  }

  function readBare(): unknown {
    const start = at;
    while (literal[at] !== "," && literal[at] !== "}") at += 1;
    const text = literal.slice(start, at);
    return text === "NULL" ? null : parse(text);
  }

  return readItems();
}

/**
 * What a driver makes of anything else differs: postgres.js sends half a statement and waits for ever.
 * @throws MidctlError `internal`, before anything is sent
 */
export function requireParams(params: readonly Param[]): void {
  for (const [index, param] of params.entries()) {
    const type = typeof (param as unknown);
    if (param === null || type === "string" || type === "number" || type === "boolean") continue;
    throw new MidctlError(
      "internal",
      `A statement's parameter $${index + 1} is of the type ${type}; the statement was not sent.`,
      { hint: "A parameter is a string, a number, a boolean or null." },
    );
  }
}
