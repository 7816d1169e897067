import type { Request } from "../operations/change.ts";
import type { VerbContext } from "./context.ts";

/** Who asks, as the log will show it: the operator that the settings name. */
export function requestFrom(context: VerbContext): Request {
  return {
    actor: { kind: "operator", name: context.actor },
    reason: context.reason,
    dryRun: context.dryRun,
  };
}
