import type { Authenticator, Decision } from "../../../src/index.ts";

/** Milliseconds that acceptances are kept. */
const KEPT = 2_000;

/** What a verifier must not be: one that keeps acceptances for a while and asks nobody. `--broken-cache` uses it. */
export function keepAcceptances(authenticate: Authenticator["authenticate"]): Authenticator["authenticate"] {
  const kept = new Map<string, { readonly decision: Decision; readonly until: number }>();
  return async (token, options) => {
    const known = kept.get(token);
    if (known !== undefined && performance.now() < known.until) return known.decision;
    const decision = await authenticate(token, options);
    if (decision.ok) kept.set(token, { decision, until: performance.now() + KEPT });
    return decision;
  };
}
