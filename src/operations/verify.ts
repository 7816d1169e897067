import type { Tx } from "../db/database.ts";
import { type Credential, findCredential } from "../repository/credential.ts";
import { type Accepted, decide, type Refused } from "./decide.ts";

/** A decision with the whole credential, for people. */
export type Verified = (Omit<Accepted, "credential"> & { readonly credential: Credential | null }) | Refused;

/** Is this token good, whose is it, and why not. Looks only: a pending token stays pending. Throws `unavailable`. */
export async function verifyToken(db: Tx, token: string, scope: string | null): Promise<Verified> {
  const { decision, publicId } = await decide(db, token, scope);
  if (!decision.ok) return decision;
  const credential =
    decision.credential === null || publicId === null ? null : await findCredential(db, publicId);
  return { ...decision, credential };
}
