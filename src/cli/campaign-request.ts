/** Asking for a campaign where nothing changes without an approval: every secret is prepared, and one plan names them all. */
import type { Database } from "../db/database.ts";
import { approvalRequired } from "../operations/approval/request.ts";
import type { ChosenTargets } from "../operations/campaign/begin.ts";
import { requestCampaign } from "../operations/campaign/request.ts";
import type { Environment } from "../repository/environment.ts";
import { askingOf, planPath } from "./ask.ts";
import type { Order } from "./campaign.ts";
import type { VerbContext } from "./context.ts";
import { requestFrom } from "./request.ts";

/** Makes the request, and throws what tells of it: `approval_required`, with the campaign that it is for. */
export async function requestMany(
  context: VerbContext,
  db: Database,
  { terms, gate, means: { delivery, again } }: Order,
  chosen: ChosenTargets,
  environment: Environment,
): Promise<never> {
  const asking = await askingOf(context, gate, "credential.rotate");
  const { id, requested } = await requestCampaign(db, requestFrom(context), asking, terms, chosen, {
    delivery,
    environment,
  });
  throw approvalRequired({ ...requested, status: "open" }, requested.plan.environment, {
    made: true,
    planFile: planPath(gate, requested.id),
    campaign: { id, again },
  });
}
