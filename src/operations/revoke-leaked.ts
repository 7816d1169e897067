import type { Database } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatReference } from "../domain/reference.ts";
import { parseToken } from "../domain/token.ts";
import { readTarget, type Target } from "./control.ts";
import { findHolder } from "./lookup.ts";

/**
 * Finds what a leaked token belongs to, so that it can be revoked. Looking is not a use. The reference is a credential
 * or, for a legacy token, a token. Throws `not_found`.
 */
export async function readLeaked(db: Database, token: string): Promise<Target> {
  const holder = await findHolder(db, token);
  if (holder !== null) return readTarget(db, formatReference(holder));
  throw new MidctlError("not_found", "This token is not known to this database; nothing was revoked.", {
    hint:
      parseToken(token) === null
        ? "Give the whole token, exactly as it leaked."
        : "Check that midctl status names the right database.",
  });
}
