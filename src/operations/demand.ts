/** What a caller demands of a token beyond being good. */
export interface Demand {
  /** A scope that it has to be granted; left out for none. */
  readonly scope?: string;
}

/** A demand that cannot be understood, and so is never met. */
export const MISTAKEN: unique symbol = Symbol("mistaken demand");

/**
 * The scope that is demanded, or null for none. A misspelt or undefined demand must not pass for none: what is no plain
 * object, has another field than `scope`, or a `scope` that is no text, is mistaken. Never throws.
 */
export function readDemand(demand: unknown): string | null | typeof MISTAKEN {
  if (demand === undefined) return null;
  try {
    return readScope(demand);
  } catch {
    return MISTAKEN;
  }
}

function readScope(demand: unknown): string | null | typeof MISTAKEN {
  if (typeof demand !== "object" || demand === null || !isPlain(demand)) return MISTAKEN;
  let wanted: string | null = null;
  for (const key in demand) {
    const value: unknown = key === "scope" ? (demand as { scope: unknown }).scope : undefined;
    if (typeof value !== "string" || value === "") return MISTAKEN;
    wanted = value;
  }
  return wanted;
}

/** Of this realm or another: a Map or an array that holds a scope demands none. */
function isPlain(object: object): boolean {
  const parent: unknown = Object.getPrototypeOf(object);
  return parent === null || Object.getPrototypeOf(parent) === null;
}
