/**
 * The bearer token in an Authorization header (RFC 6750 §2.1; RFC 9110 §11.4 and §11.6.2). Judged by shape alone, so
 * that nothing but one plausible token ever reaches a hash or the database.
 */

/** Longest header that is looked at, in characters; servers refuse longer ones anyway. */
const HEADER_MAX = 8_192;
/** As for legacy tokens (SPEC §4); ours are shorter. ASCII, so characters are bytes. */
const TOKEN_MAX = 512;

/**
 * RFC 6750's `b64token` is `[A-Za-z0-9-._~+/]+=*`. Hosts have issued legacy tokens with other characters, so any visible
 * ASCII passes but the comma and the quote: HTTP libraries join a header given twice by a comma, and the parameters of
 * other schemes have both.
 */
const CREDENTIALS = /^[ \t]*bearer +([!#-+\--~]+)[ \t]*$/i;

export type BearerReading =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly problem: BearerProblem };

/** Why there is no token. For logs and tests: a bearer is told nothing of it. */
export type BearerProblem = "missing" | "duplicated" | "other_scheme" | "malformed" | "too_long";

/**
 * The token in the Authorization header(s) of one request. Give every value there was, where the framework tells: a header
 * given twice is refused, since two readers would not take the same one. The scheme is case-insensitive. Never throws.
 */
export function readBearer(header: string | readonly string[] | null | undefined): BearerReading {
  if (typeof header === "string") return readValue(header);
  if (header === null || header === undefined || header.length === 0) return refuse("missing");
  // By what JavaScript hands in, it may be anything.
  const [value, ...others]: readonly unknown[] = Array.isArray(header) ? header : [header];
  if (others.length > 0) return refuse("duplicated");
  return typeof value === "string" ? readValue(value) : refuse("malformed");
}

function readValue(value: string): BearerReading {
  if (value.length > HEADER_MAX) return refuse("too_long");
  const token = CREDENTIALS.exec(value)?.[1];
  if (token === undefined) return refuse(explain(value));
  return token.length > TOKEN_MAX ? refuse("too_long") : { ok: true, token };
}

function explain(value: string): BearerProblem {
  const scheme = value.trimStart();
  if (scheme === "") return "missing";
  return /^bearer(?:[ \t]|$)/i.test(scheme) ? "malformed" : "other_scheme";
}

function refuse(problem: BearerProblem): BearerReading {
  return { ok: false, problem };
}
