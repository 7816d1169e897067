import { readBearer } from "../domain/bearer.ts";
import { type Decision, type RefusalCode, refusal } from "./decide.ts";
import type { Demand } from "./demand.ts";

/** As much of an authenticator as a header needs. */
export interface HeaderAuthenticator {
  authenticate(token: string, options?: Demand): Promise<Decision>;
}

/** A decision with the answer that HTTP gives to it; decision and headers are frozen. */
export interface HeaderAnswer {
  readonly decision: Decision;
  readonly status: 200 | 401 | 503;
  /** To be sent with 401 and 503; empty for 200. Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON to be sent with 401 and 503; null for 200. */
  readonly body: string | null;
}

type Refusal = Omit<HeaderAnswer, "decision">;

/**
 * One answer for every refusal, a missing scope included: what it was is for the server to know, and a bearer who tries
 * tokens learns nothing. RFC 6750 §3: a challenge without an error code.
 */
const UNAUTHORIZED: Refusal = {
  status: 401,
  headers: Object.freeze({
    "www-authenticate": 'Bearer realm="midctl"',
    "cache-control": "no-store",
    "content-type": "application/json",
  }),
  body: '{"error":"unauthorized"}',
};

/** RFC 9110 §10.2.3: whole seconds. A primary that fails over takes some. */
const UNAVAILABLE: Refusal = {
  status: 503,
  headers: Object.freeze({
    "retry-after": "2",
    "cache-control": "no-store",
    "content-type": "application/json",
  }),
  body: '{"error":"unavailable"}',
};

/**
 * From an Authorization header to a decision and its answer, for any framework: on 200 go on with
 * `decision.actor`, else send status, headers and body. Give every value of the header there was
 * (Node: `request.headersDistinct.authorization`). Never throws; a header without one plausible token is `malformed`
 * and costs no look-up. Options that cannot be understood are refused as by `authenticate`.
 */
export function authenticateHeader(
  authenticator: HeaderAuthenticator,
  header: string | readonly string[] | null | undefined,
  options?: Demand,
): Promise<HeaderAnswer> {
  const bearer = readBearer(header);
  if (!bearer.ok) return Promise.resolve(answerTo(refusal("malformed")));
  return authenticator.authenticate(bearer.token, options).then(answerTo);
}

/** What HTTP says to a decision. */
export function answerTo(decision: Decision): HeaderAnswer {
  if (decision.ok) return { decision, status: 200, headers: NONE, body: null };
  return { decision, ...(isUndecided(decision.code) ? UNAVAILABLE : UNAUTHORIZED) };
}

/**
 * Whether a code says nothing of the token: nobody could judge it. Where a database was restored from before, 401 would have
 * agents throw away tokens that are good, and tell bearers no more than 503 does, which is the same for all of them.
 */
export function isUndecided(code: RefusalCode): boolean {
  return code === "unavailable" || code === "behind_checkpoint";
}

const NONE = Object.freeze({});
