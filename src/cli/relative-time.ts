/** Times for people. */

const steps: readonly (readonly [limit: number, seconds: number, unit: string])[] = [
  [90, 1, "s"],
  [90 * 60, 60, "m"],
  [36 * 3_600, 3_600, "h"],
  [21 * 86_400, 86_400, "d"],
  [Number.POSITIVE_INFINITY, 7 * 86_400, "w"],
];

/** `in 3d`, `5m ago`, `now`, with midctl's own units; `at` is RFC 3339, `now` milliseconds since 1970. */
export function formatRelative(at: string, now: number): string {
  const seconds = Math.round((Date.parse(at) - now) / 1_000);
  if (Number.isNaN(seconds)) return at;
  const distance = Math.abs(seconds);
  if (distance < 2) return "now";
  const [, size, unit] = steps.find(([limit]) => distance < limit) ?? [0, 1, "s"];
  const amount = `${Math.round(distance / size)}${unit}`;
  return seconds > 0 ? `in ${amount}` : `${amount} ago`;
}
