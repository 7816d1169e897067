import { MidctlError } from "./errors.ts";
import { quote } from "./visible.ts";

/** At most so many scopes on one credential. */
export const MAX_SCOPES = 64;

/** RFC 6749 scope characters without the comma, which is a mistyped list, and a `*` only at the end. */
const SCOPE_PATTERN = /^(?=.{1,128}$)[!#-)+\--[\]-~]*\*?$/;

/** One scope: an exact string, or a prefix followed by `*`. 1 to 128 characters. Throws `usage`. */
export function parseScope(text: string): string {
  if (isScope(text)) return text;
  throw new MidctlError("usage", `${quote(text)} is not a scope.`, { hint: adviseOn(text) });
}

/** Whether `parseScope` takes it. */
export function isScope(text: string): boolean {
  return SCOPE_PATTERN.test(text);
}

/** Several scopes as the canonical set that is stored, planned and compared. Throws `usage`. */
export function parseScopes(texts: readonly string[]): string[] {
  const scopes = canonicalScopes(texts.map(parseScope));
  if (scopes.length > MAX_SCOPES) {
    throw new MidctlError("usage", `${scopes.length} scopes are too many for one credential.`, {
      hint: `At most ${MAX_SCOPES}; a trailing * covers several: cards:*.`,
    });
  }
  return scopes;
}

/** Sorted by code unit, each once: the same set always has the same form. */
export function canonicalScopes(scopes: readonly string[]): string[] {
  return [...new Set(scopes)].sort();
}

/** Whether two lists name the same set. A prefix and the scopes under it are not the same. */
export function sameScopes(a: readonly string[], b: readonly string[]): boolean {
  if (a.length === b.length && a.every((scope, index) => scope === b[index])) return true;
  const left = canonicalScopes(a);
  const right = canonicalScopes(b);
  return left.length === right.length && left.every((scope, index) => scope === right[index]);
}

/** Whether `scopes` cover `required`: the same string, or a prefix of it followed by `*`. `*` alone covers all. */
export function grants(scopes: readonly string[], required: string): boolean {
  return scopes.some(
    (scope) => scope === required || (scope.endsWith("*") && required.startsWith(scope.slice(0, -1))),
  );
}

/**
 * Whether a host's stored text is a JSON array of strings that PostgreSQL can hold as such: what a credential can repeat.
 * What each string says is the host's affair.
 */
export function isScopeList(text: string): boolean {
  try {
    const scopes: unknown = JSON.parse(text);
    return (
      Array.isArray(scopes) &&
      scopes.every((scope) => typeof scope === "string" && !/[\0\p{Cs}]/u.test(scope))
    );
  } catch {
    return false;
  }
}

function adviseOn(text: string): string {
  if (text === "") return "A scope is not empty: cards:read, cards:* or *.";
  if (/[\s,]/.test(text)) return "Give each scope by itself: --scope once for each.";
  if (text.includes("*")) return "A * may only stand at the end, as in cards:*.";
  return "A scope is 1 to 128 printable ASCII characters without spaces, quotes and backslashes, such as cards:read.";
}
