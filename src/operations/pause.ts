import type { Database } from "../db/database.ts";
import type { Request } from "./change.ts";
import { type Controlled, controlTarget, type Target } from "./control.ts";

/**
 * Pauses an identity (its credentials and descendants with it, by computation) or one active credential. Throws
 * `illegal_transition` for anything else, `conflict` where it changed since it was read.
 */
export function pauseTarget(db: Database, request: Request, target: Target): Promise<Controlled> {
  return controlTarget(db, request, target, "paused");
}
