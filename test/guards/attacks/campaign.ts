import { insert } from "../scene.ts";
import { type Attack, immutable, MC001, MC003 } from "./attack.ts";

const BEGUN = `${insert("midctl_campaign", {
  ...{ publicId: "'campaign0001'", terms: "'{}'", startedBy: "'alice'" },
})}; ${insert("midctl_campaign_target", {
  ...{ campaignId: `(SELECT id FROM midctl_campaign WHERE "publicId" = 'campaign0001')`, position: "1" },
  ...{ slug: "'svc'", replaces: "'active000001'", place: "'/secrets/svc'" },
})}`;
const campaign = (assignment: string) => `UPDATE midctl_campaign SET ${assignment}`;
const target = (assignment: string) => `UPDATE midctl_campaign_target SET ${assignment}`;
const DELIVERED = `${BEGUN}; ${target(`state = 'delivered', successor = 'new000000001'`)}`;

export const CAMPAIGN_ATTACKS: readonly Attack[] = [
  ...immutable(
    "a campaign",
    campaign,
    {
      publicId: "'campaign0002'",
      terms: `'{"grace":0}'`,
      startedBy: "'mallory'",
      startedAt: `"startedAt" - interval '1 day'`,
    },
    "status = 'stopped', problem = 'the health check failed'",
  ).map((attack) => ({ ...attack, given: BEGUN })),
  ...immutable(
    "a campaign's target",
    target,
    { position: "2", slug: "'bare'", replaces: "'grace0000001'", place: "'/secrets/other'" },
    `state = 'issued', successor = 'new000000001'`,
  ).map((attack) => ({ ...attack, given: BEGUN })),
  {
    refuses: "a campaign that goes on once it is done",
    given: `${BEGUN}; ${campaign("status = 'done'")}`,
    attack: campaign("status = 'running'"),
    code: MC001,
    allows: "another campaign",
    twin: BEGUN.replaceAll("campaign0001", "campaign0002"),
  },
  ...["state = 'open'", "successor = 'new000000002'"].map((assignment) => ({
    refuses: `a delivery that is taken back: ${assignment}`,
    given: DELIVERED,
    attack: target(assignment),
    code: MC001,
    allows: "what is said of it",
    twin: target("problem = 'nobody has used it'"),
  })),
  ...["midctl_campaign_target", "midctl_campaign"].flatMap((table) => [
    {
      refuses: `deleting from ${table}`,
      given: BEGUN,
      attack: `DELETE FROM ${table}`,
      code: MC003,
      allows: "stopping",
      twin: campaign("status = 'stopped'"),
    },
    {
      refuses: `truncating ${table}`,
      given: BEGUN,
      attack: `TRUNCATE ${table} CASCADE`,
      code: MC003,
      allows: "stopping",
      twin: campaign("status = 'stopped'"),
    },
  ]),
];
