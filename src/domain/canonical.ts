import canonicalize from "canonicalize";
import { MidctlError } from "./errors.ts";

/** Deeper than any plan; a text that nests deeper is refused before it can exhaust the stack. */
const MAX_DEPTH = 64;

const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The one JSON text of a value by RFC 8785: what is signed is the UTF-8 of it. Takes what JSON can say and nothing else: a
 * value that JSON would leave out or change (undefined, NaN, a Date, a hole in a list, a lone surrogate) throws `usage`, so
 * that nobody signs less than was meant.
 */
export function canonicalText(value: unknown): string {
  const reason = obstacle(value, 0);
  const text = reason === null ? canonicalize(value) : undefined;
  if (text !== undefined) return text;
  throw new MidctlError("usage", `This cannot be written as canonical JSON: ${reason ?? "it is no value"}.`, {
    hint: "Use null for what is missing, whole and finite numbers, and text that is valid Unicode.",
  });
}

/**
 * What a canonical text says. Throws `usage` unless `text` is exactly the canonical form of what it parses to: then two
 * texts that differ never mean the same, and no parser reads another thing out of one (duplicate keys, `-0`, `1e400`).
 */
export function parseCanonical(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notCanonical("It is no JSON");
  }
  const reason = obstacle(value, 0);
  if (reason !== null) throw notCanonical(`There is ${reason} in it`);
  if (canonicalize(value) !== text) throw notCanonical("Its canonical form has other bytes");
  return value;
}

function notCanonical(reason: string): MidctlError {
  return new MidctlError(
    "usage",
    `This is not canonical JSON (RFC 8785). ${reason}; nothing was read from it.`,
    {
      hint: "Use the file as midctl wrote it: editors and formatters change it, and what was signed is its exact bytes.",
    },
  );
}

/** Why JSON cannot carry the value as it is, or null. */
function obstacle(value: unknown, depth: number): string | null {
  if (value === null || typeof value === "boolean") return null;
  if (typeof value === "string") return LONE_SURROGATE.test(value) ? "text that is not valid Unicode" : null;
  if (typeof value === "number") return Number.isFinite(value) ? null : "a number that is not finite";
  if (typeof value !== "object") return `a value of the type ${typeof value}`;
  if (depth === MAX_DEPTH) return `nesting deeper than ${MAX_DEPTH}`;
  if (Array.isArray(value)) {
    // By index: forEach and the like skip holes.
    for (let i = 0; i < value.length; i++) {
      const reason = obstacle(value[i], depth + 1);
      if (reason !== null) return reason;
    }
    return null;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return "an object of a class";
  for (const [key, member] of Object.entries(value)) {
    const reason = obstacle(key, depth + 1) ?? obstacle(member, depth + 1);
    if (reason !== null) return reason;
  }
  return null;
}
