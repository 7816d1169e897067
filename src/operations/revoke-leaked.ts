import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatCredential, formatToken } from "../domain/reference.ts";
import { hashLegacyToken, hashToken, parseToken } from "../domain/token.ts";
import { findCredentialByHash } from "../repository/credential.ts";
import { findTokenIdByHash } from "../repository/token.ts";
import { readTarget, type Target } from "./control.ts";

/**
 * Finds what a leaked token belongs to, so that it can be revoked. Looking is not a use. The reference is a credential
 * or, for a legacy token, a token. Throws `not_found`.
 */
export async function readLeaked(db: Database, token: string): Promise<Target> {
  const own = parseToken(token) !== null;
  const hash = own ? hashToken(token) : hashLegacyToken(token);
  const credential = await findCredentialByHash(db, hash);
  if (credential !== null) return readTarget(db, formatCredential(credential.id.slice(3)));
  const legacy = await findTokenIdByHash(db, hash);
  if (legacy !== null) return readTarget(db, formatToken(legacy));
  throw new MidctlError("not_found", "This token is not known to this database; nothing was revoked.", {
    hint: own
      ? "Check that midctl status names the right database."
      : "Give the whole token, exactly as it leaked.",
  });
}
