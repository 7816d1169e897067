import type { Database } from "../../src/db/database.ts";
import type { Draft } from "../../src/operations/approval/draft.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { quickHash } from "../../src/operations/decide.ts";
import {
  draftCover,
  markUsed,
  requestSigned,
  type Signatures,
  type TrustDesk,
  type Written,
} from "../support/trust.ts";
import { issueActive } from "./scene.ts";

export const OWNERS = ["alice", "bob", "carol"];
export const UNAPPROVED = { ok: false, code: "unapproved" };

type Terms = Parameters<typeof draftCover>[2];
let made = 0;

/** An active token with one scope, of a service of its own, and the line that covers it. */
export async function draftOne(
  db: Database,
  terms: Terms = {},
): Promise<{ readonly token: string; readonly line: Draft }> {
  const token = await issueActive(db, `service-${++made}`, { scopes: ["cards:read"] });
  return { token, line: await draftCover(db, quickHash(token), terms) };
}

/** The same, and a plan that covers it, signed so. */
export async function coverOne(
  db: Database,
  desk: TrustDesk,
  { terms, ...signatures }: Signatures & { readonly terms?: Terms } = {},
): Promise<{ readonly token: string; readonly written: Written }> {
  const { token, line } = await draftOne(db, terms);
  return { token, written: await requestCarriedOut(db, desk, [line], signatures) };
}

/** A plan with everything signed, whose lines the guards have marked. */
export async function requestCarriedOut(
  db: Database,
  desk: TrustDesk,
  drafts: readonly Draft[],
  signatures: Signatures = {},
): Promise<Written> {
  const written = await requestSigned(db, desk, drafts, signatures);
  await markUsed(db, written);
  return written;
}

/** What a verifier that has seen nothing yet decides, by a trust directory. */
export function decideAfresh(db: Database, token: string, trust: TrustDesk, scope?: string) {
  const { authenticate } = createAuthenticator({ db, cache: false, trust: trust.dir });
  return authenticate(token, scope === undefined ? undefined : { scope });
}

/** What one decides that has no trust root. */
export function decideUnchecked(db: Database, token: string) {
  return createAuthenticator({ db, cache: false }).authenticate(token);
}
