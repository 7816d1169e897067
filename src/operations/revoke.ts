import type { Database } from "../db/database.ts";
import type { Request } from "./change.ts";
import { type Controlled, controlTarget, type Target } from "./control.ts";

/**
 * Revokes an identity (and each live credential of it), a credential, or a legacy token: for ever. Throws
 * `illegal_transition` for what ended otherwise, `conflict` where it changed since it was read.
 */
export function revokeTarget(db: Database, request: Request, target: Target): Promise<Controlled> {
  return controlTarget(db, request, target, "revoked");
}
