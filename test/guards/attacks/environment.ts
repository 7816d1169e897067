import { PROTECT } from "../approvals.ts";
import { setIdentity } from "../scene.ts";
import { type Attack, HARMLESS, MC002, MC003, MC004, UNIQUE } from "./attack.ts";

const MOVED = `UPDATE midctl_environment SET "movedTo" = 'postgres://db.example/team'`;
const USED = setIdentity("svc", `"lastUsedAt" = midctl_now()`);

export const ENVIRONMENT_ATTACKS: readonly Attack[] = [
  {
    refuses: "another name for a named environment",
    given: "UPDATE midctl_environment SET name = 'staging', named = true",
    attack: "UPDATE midctl_environment SET name = 'other'",
    code: MC002,
    allows: "the same name again",
    twin: "UPDATE midctl_environment SET name = 'staging', named = true",
  },
  {
    refuses: "a named environment that is unnamed again",
    given: "UPDATE midctl_environment SET name = 'staging', named = true",
    attack: "UPDATE midctl_environment SET named = false",
    code: MC002,
    allows: "protection",
    twin: PROTECT,
  },
  {
    refuses: "a named test environment that becomes live",
    given: "UPDATE midctl_environment SET name = 'staging', named = true",
    attack: "UPDATE midctl_environment SET live = true",
    code: MC002,
    allows: "one that stays test",
    twin: "UPDATE midctl_environment SET live = false",
  },
  {
    refuses: "a name that is not marked as given",
    attack: "UPDATE midctl_environment SET name = 'staging'",
    code: MC003,
    allows: "one that is",
    twin: "UPDATE midctl_environment SET name = 'staging', named = true",
  },
  {
    refuses: "a live environment once credentials exist",
    attack: "UPDATE midctl_environment SET name = 'prod', named = true, live = true",
    code: MC002,
    allows: "a name and protection",
    twin: `UPDATE midctl_environment SET name = 'prod', named = true; ${PROTECT}`,
  },
  {
    refuses: "a protected environment that is unprotected again",
    given: PROTECT,
    attack: "UPDATE midctl_environment SET protected = false",
    code: MC003,
    allows: "protecting it again",
    twin: "UPDATE midctl_environment SET protected = true",
  },
  {
    refuses: "another database id",
    attack: `UPDATE midctl_environment SET "databaseId" = gen_random_uuid()`,
    code: MC003,
    allows: "the same",
    twin: `UPDATE midctl_environment SET "databaseId" = "databaseId"`,
  },
  {
    refuses: "another age of the environment",
    attack: `UPDATE midctl_environment SET "createdAt" = now() + interval '1 day'`,
    code: MC003,
    allows: "the same",
    twin: `UPDATE midctl_environment SET "createdAt" = "createdAt"`,
  },
  {
    refuses: "a second environment",
    attack: "INSERT INTO midctl_environment DEFAULT VALUES",
    code: UNIQUE,
    allows: "making sure that there is one",
    twin: "INSERT INTO midctl_environment DEFAULT VALUES ON CONFLICT DO NOTHING",
  },
  {
    refuses: "an environment changed on conflict",
    attack: `INSERT INTO midctl_environment DEFAULT VALUES ON CONFLICT ("only") DO UPDATE SET live = true`,
    code: MC002,
    allows: "one named on conflict",
    twin: `INSERT INTO midctl_environment DEFAULT VALUES ON CONFLICT ("only") DO UPDATE SET name = 'staging', named = true`,
  },
  {
    refuses: "a change of an identity in a database that has moved",
    given: MOVED,
    attack: HARMLESS,
    code: MC004,
    allows: "a note of its use",
    twin: USED,
  },
  {
    refuses: "another place for a database that has moved",
    given: MOVED,
    attack: `UPDATE midctl_environment SET "movedTo" = 'postgres://db.example/other'`,
    code: MC004,
    allows: "a note of use",
    twin: USED,
  },
];
