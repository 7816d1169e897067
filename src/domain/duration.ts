import { MidctlError } from "./errors.ts";
import { quote } from "./visible.ts";

/** Seconds per unit. Months and years are left out: their length is not a number. */
const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
type Unit = keyof typeof UNITS;

/** Ten years of 365 days, in seconds. */
export const MAX_DURATION = 3_650 * UNITS.d;

export const DURATION_PATTERN = /^(\d+)([smhdw])$/;
const FORMS = "Write a whole number and one of s, m, h, d, w, such as 90s, 30m, 24h, 30d or 2w.";

export interface DurationLimits {
  /** Shortest allowed, in seconds; default 1. */
  readonly atLeast?: number;
  /** Longest allowed, in seconds; default ten years. */
  readonly atMost?: number;
}

/**
 * Whole seconds of a duration such as `30d` (SPEC §5): a whole number and one of `s m h d w`. Throws `usage` for
 * anything else, with what was probably meant.
 */
export function parseDuration(text: string, limits: DurationLimits = {}): number {
  const match = DURATION_PATTERN.exec(text);
  if (match === null)
    throw new MidctlError("usage", `${quote(text)} is not a duration.`, { hint: adviseOn(text) });
  return requireWithin(quote(text), Number(match[1]) * UNITS[match[2] as Unit], limits, formatDuration);
}

/** The same limits for a duration that comes as a number (a host's own call). Throws `usage`. */
export function checkDuration(seconds: unknown, limits: DurationLimits = {}): number {
  const inSeconds = (limit: number) => `${limit} s`;
  if (typeof seconds === "number" && Number.isInteger(seconds)) {
    return requireWithin(inSeconds(seconds), seconds, limits, inSeconds);
  }
  const shown =
    typeof seconds === "string" ? quote(seconds) : typeof seconds === "object" ? "That" : String(seconds);
  throw new MidctlError("usage", `${shown} is no whole number of seconds.`, {
    hint: "Durations are numbers here, in seconds: 3600 for an hour.",
  });
}

function requireWithin(
  shown: string,
  seconds: number,
  { atLeast = 1, atMost = MAX_DURATION }: DurationLimits,
  format: (limit: number) => string,
): number {
  if (seconds < atLeast) {
    throw new MidctlError("usage", `${shown} is too short a duration.`, {
      hint: `The shortest is ${format(atLeast)}.`,
    });
  }
  if (seconds > atMost) {
    throw new MidctlError("usage", `${shown} is too long a duration.`, {
      hint: `The longest is ${format(atMost)}.`,
    });
  }
  return seconds;
}

/** The shortest exact form in days, hours, minutes or seconds: 5400 is `90m`. `parseDuration` reads it back. */
export function formatDuration(seconds: number): string {
  for (const unit of ["d", "h", "m"] as const) {
    if (seconds !== 0 && seconds % UNITS[unit] === 0) return `${seconds / UNITS[unit]}${unit}`;
  }
  return `${seconds}s`;
}

function adviseOn(text: string): string {
  const compact = text.trim().replace(/\s+/g, "");
  if (DURATION_PATTERN.test(compact)) return `Write it without spaces: ${compact}.`;
  if (/^\d+$/.test(compact))
    return `The unit is missing: ${compact}s, ${compact}m, ${compact}h or ${compact}d?`;
  if (/^[-−]/.test(compact)) return `A duration counts forward and has no sign. ${FORMS}`;
  if (/^\d+M$/.test(compact)) return "A month is not a fixed time: write 30d. A minute is a small m: 1m.";
  if (/^\d+[yY]$/.test(compact)) return "A year is not a fixed time: write 365d.";
  if (/^\d+[SHDW]$/.test(compact)) return `Units are small letters: ${compact.toLowerCase()}.`;
  if (/^\d+[.,]\d+[smhdw]$/.test(compact)) return "Only whole numbers: 90m in place of 1.5h.";
  if (/^(?:\d+[smhdw]){2,}$/.test(compact)) return "Only one number and one unit: 90m in place of 1h30m.";
  return FORMS;
}
