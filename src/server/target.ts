/** Every path that the server has. */
export const PATHS = ["/auth", "/introspect", "/mcp", "/healthz", "/readyz", "/metrics"] as const;

const known: ReadonlySet<string> = new Set(PATHS);

/** A path that the server does not have. */
const NOWHERE = "/";

/**
 * Path and query of a request's target as it was sent, if the path is one of ours to the letter; else one that we do not
 * have. A proxy that keeps `/metrics` to itself compares letters too: whatever dot segments, escapes or a fragment would
 * make of a path is none of ours. Of an absolute form (RFC 9112 §3.2.2) scheme and host are left out.
 */
export function readTarget(url: string): string {
  const target = url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?#]*/i, "");
  const mark = target.indexOf("?");
  const isKnown = known.has(mark < 0 ? target : target.slice(0, mark)) && !target.includes("#");
  return isKnown ? target : NOWHERE;
}
