import type { Database } from "../db/database.ts";
import type { Request } from "./change.ts";
import { type Controlled, controlTarget, type Target } from "./control.ts";

/**
 * Resumes an identity or a credential that was paused on its own. Under a paused or revoked ancestor it succeeds and is
 * still refused: `effectiveStatus` says so. Throws as `pauseTarget` does.
 */
export function resumeTarget(db: Database, request: Request, target: Target): Promise<Controlled> {
  return controlTarget(db, request, target, "active");
}
