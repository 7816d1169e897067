import type { Tx } from "../db/database.ts";
import type { TrustRoot } from "../domain/trust.ts";
import { type Credential, findCredential } from "../repository/credential.ts";
import { type Accepted, decide, quickHash, type Refused } from "./decide.ts";
import { Receipts } from "./verifier/receipts.ts";

/** A decision with the whole credential, for people. */
export type Verified = (Omit<Accepted, "credential"> & { readonly credential: Credential | null }) | Refused;

/** For each answer of the database about plans, ms. */
const PATIENCE = 30_000;

/**
 * Is this token good, whose is it, and why not. Looks only: a pending token stays pending. Under a trust root it is
 * `unapproved` unless a signed plan in force names it so. Throws `unavailable`.
 */
export async function verifyToken(
  db: Tx,
  token: string,
  scope: string | null,
  trust: TrustRoot | null = null,
): Promise<Verified> {
  const looked =
    trust === null
      ? await decide(db, token, scope)
      : await new Receipts(db, { patience: PATIENCE }).judge(
          trust,
          quickHash(token),
          await decide(db, token, null),
          scope,
        );
  const { decision, publicId } = looked;
  if (!decision.ok) return decision;
  const credential =
    decision.credential === null || publicId === null ? null : await findCredential(db, publicId);
  return { ...decision, credential };
}
