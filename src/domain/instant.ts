import { parseDuration } from "./duration.ts";
import { MidctlError } from "./errors.ts";
import { quote } from "./visible.ts";

/** When something is to end: a moment, RFC 3339 in UTC to the millisecond, or so many seconds from now. */
export type End = { readonly at: string } | { readonly seconds: number };

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const INSTANT = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;
const FORMS =
  "Write a date such as 2027-01-31 (00:00 UTC), an RFC 3339 time such as 2027-01-31T18:00:00Z, or a duration such as 30d.";

/** In ms since 1970: the database has no year 0, and none of five digits is written as it reads them. */
export const EARLIEST: number = Date.parse("0001-01-01T00:00:00Z");
const LATEST = Date.parse("9999-12-31T23:59:59.999Z");

/** A date (its beginning, in UTC), an RFC 3339 time, or a duration from now. Throws `usage`. */
export function parseEnd(text: string): End {
  if (!/^\d{4}-/.test(text)) {
    if (/^\d+[smhdw]$/.test(text)) return { seconds: parseDuration(text) };
    throw new MidctlError("usage", `${quote(text)} is no date, no time and no duration.`, { hint: FORMS });
  }
  const [day = ""] = text.split(/[Tt ]/);
  const shaped = DATE.test(text) || INSTANT.test(text);
  const moment = Date.parse(DATE.test(text) ? `${text}T00:00:00Z` : text.replace(" ", "T").toUpperCase());
  // JavaScript reads February the 30th as the 2nd of March.
  const midnight = Date.parse(`${day}T00:00:00Z`);
  if (!shaped || Number.isNaN(moment) || new Date(midnight).toISOString().slice(0, 10) !== day) {
    throw new MidctlError("usage", `${quote(text)} is no date and no time.`, { hint: FORMS });
  }
  if (moment < EARLIEST || moment > LATEST) {
    throw new MidctlError("usage", `${quote(text)} is not within the years 1 to 9999 in UTC.`, {
      hint: FORMS,
    });
  }
  return { at: new Date(moment).toISOString() };
}

/** A moment so many seconds later. @param instant RFC 3339 */
export function addSeconds(instant: string, seconds: number): string {
  return new Date(Date.parse(instant) + seconds * 1000).toISOString();
}
