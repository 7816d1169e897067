import { APPROVAL_ATTACKS } from "./approval.ts";
import { DRESSES_ATTACKS } from "./around.ts";
import type { Attack } from "./attack.ts";
import { CAMPAIGN_ATTACKS } from "./campaign.ts";
import { CREDENTIAL_BIRTH_ATTACKS } from "./credential-birth.ts";
import { CREDENTIAL_CHANGE_ATTACKS } from "./credential-life.ts";
import { ENVIRONMENT_ATTACKS } from "./environment.ts";
import { EVENTS_ATTACKS } from "./event.ts";
import { GATE_ATTACKS } from "./gate.ts";
import { NOTHING_GOES_ATTACKS } from "./gone.ts";
import { IDENTITY_BIRTH_ATTACKS, IDENTITY_CHANGE_ATTACKS } from "./identity.ts";
import { LOG_ATTACKS } from "./log.ts";
import { TOKENS_ATTACKS } from "./token.ts";
import { TRANSITION_ATTACKS } from "./transition.ts";

/** By the part of the rules that they try. */
export const ATTACKS: Readonly<Record<string, readonly Attack[]>> = {
  "the birth of an identity": IDENTITY_BIRTH_ATTACKS,
  "the life of an identity": IDENTITY_CHANGE_ATTACKS,
  "the birth of a credential": CREDENTIAL_BIRTH_ATTACKS,
  "the life of a credential": CREDENTIAL_CHANGE_ATTACKS,
  "the table of transitions": TRANSITION_ATTACKS,
  "agent tokens": TOKENS_ATTACKS,
  "agent events": EVENTS_ATTACKS,
  "what never goes": NOTHING_GOES_ATTACKS,
  "the environment": ENVIRONMENT_ATTACKS,
  approvals: APPROVAL_ATTACKS,
  "what needs an approval": GATE_ATTACKS,
  "the journal of campaigns": CAMPAIGN_ATTACKS,
  "the log": LOG_ATTACKS,
  "ways around the triggers": DRESSES_ATTACKS,
};
