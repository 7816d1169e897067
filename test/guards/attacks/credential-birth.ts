import { ENDS, ISSUES, PROTECT, permit } from "../approvals.ts";
import {
  credential,
  credentialId,
  hashOf,
  idOf,
  issue,
  later,
  setIdentity,
  setToken,
  token,
} from "../scene.ts";
import { ATTACH, type Attack, CHECK, LEGACY_FACTS, MC001, MC002, MC003, MC004 } from "./attack.ts";

/** The legacy token with an identity and no credential, as a host with identities of its own had it. */
function hostGave(slug: string): string {
  return `ALTER TABLE agent_token DISABLE TRIGGER midctl_10_change;
    ${setToken("legacy000001", `"machineIdentityId" = ${idOf(slug)}`)};
    ALTER TABLE agent_token ENABLE ALWAYS TRIGGER midctl_10_change`;
}

const ISSUE_PERMITTED = permit({
  ...{ do: "credential.issue", identity: "bare" },
  ...{ credential: "new000000001", secret: "new000000001" },
  terms: ISSUES,
});

export const CREDENTIAL_BIRTH_ATTACKS: readonly Attack[] = [
  ...(
    [
      ["active", { status: "'active'" }, MC001],
      ["paused", { status: "'paused'" }, MC001],
      ["superseded", { status: "'superseded'" }, MC001],
      ["revoked", { status: "'revoked'", revokedAt: "midctl_now()" }, MC001],
      ["abandoned", { status: "'abandoned'", abandonedAt: "midctl_now()" }, MC001],
      ["activated", { activatedAt: "midctl_now()" }, MC003],
      ["with a supersession", { supersededAt: "midctl_now()" }, MC003],
      ["with a grace", { graceUntil: "midctl_now() + interval '1 day'" }, MC003],
      ["with a pause", { pausedAt: "midctl_now()" }, MC003],
      ["with a resume", { resumedAt: "midctl_now()" }, MC003],
      ["with a revocation", { revokedAt: "midctl_now()" }, MC003],
      ["with an abandonment", { abandonedAt: "midctl_now()" }, MC003],
      ["replaced", { replacedBy: "'whatever0001'" }, MC003],
      ["already over", { expiresAt: "midctl_now()" }, MC003],
      ["ending at infinity", { expiresAt: "'infinity'" }, MC003],
      ["past its deadline", { activationDeadline: "midctl_now()" }, MC003],
      ["with a deadline at infinity", { activationDeadline: "'infinity'" }, MC003],
      ["without a deadline", { activationDeadline: "NULL" }, CHECK],
      ["of nobody", { machineIdentityId: "999999" }, MC003],
      ["of a revoked identity", { machineIdentityId: idOf("gone") }, MC004],
      ["with two days of grace", { graceSeconds: "172800" }, CHECK],
      ["with a hash in capitals", { tokenHash: `'${hashOf("new").toUpperCase()}'` }, CHECK],
      ["with scopes that are no list", { scopes: "'{}'" }, CHECK],
      ["with a used public id", { publicId: "'revoked00001'" }, MC002],
      ["with a used hash", { tokenHash: `'${hashOf("revoked00001")}'` }, MC002],
      ["with a legacy token's public id", { publicId: "'legacy000001'" }, MC002],
      ["with a legacy token's hash", { tokenHash: `'${hashOf("legacy000001")}'` }, MC002],
      ["replacing one of another identity", { replacesId: credentialId("revoked00001") }, MC003],
      ["replacing itself", { id: "700001", replacesId: "700001" }, MC003],
    ] as const
  ).map(([how, columns, code]) => ({
    refuses: `a credential born ${how}`,
    attack: issue("new000000001", "bare", columns),
    code,
    allows: "one born pending",
    twin: issue("new000000001", "bare", { graceSeconds: "86400", scopes: `'["a"]'` }),
  })),
  {
    refuses: "a credential without its token",
    attack: credential("new000000001", "bare"),
    code: MC003,
    allows: "both in one statement",
    twin: `WITH c AS (${credential("new000000001", "bare")} RETURNING *)
      INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "expiresAt", "machineIdentityId")
      SELECT "publicId", 'bare', 'mid_test', "tokenHash", "expiresAt", "machineIdentityId" FROM c`,
  },
  {
    refuses: "a credential whose token was taken back by a savepoint",
    attack: `${credential("new000000001", "bare")}; SAVEPOINT s; ${token("new000000001")}; ROLLBACK TO s`,
    code: MC003,
    allows: "a token that survives one",
    twin: `SAVEPOINT s; ${credential("new000000001", "bare")}; ROLLBACK TO s; ${issue("new000000001", "bare")}; SAVEPOINT t; ROLLBACK TO t`,
  },
  {
    refuses: "a credential that meets its checks before its token",
    attack: `SET CONSTRAINTS ALL IMMEDIATE; ${issue("new000000001", "bare")}`,
    code: MC003,
    allows: "one that meets them after",
    twin: `SET CONSTRAINTS ALL DEFERRED; ${issue("new000000001", "bare")}; SET CONSTRAINTS ALL IMMEDIATE`,
  },
  {
    refuses: "a credential under an expired identity",
    given: later("2 days"),
    attack: issue("new000000001", "brief", { name: "'other'" }),
    code: MC004,
    allows: "one under a paused identity",
    twin: issue("new000000001", "still", { name: "'other'" }),
  },
  {
    refuses: "a credential under a revoked ancestor",
    given: setIdentity("svc", "status = 'revoked'"),
    attack: issue("new000000001", "child"),
    code: MC004,
    allows: "one under no ancestor",
    twin: issue("new000000001", "bare"),
  },
  {
    refuses: "a second current credential of a name",
    attack: issue("new000000001", "svc", { name: "'active'" }),
    code: MC002,
    allows: "its rotation",
    twin: issue("new000000001", "svc", { name: "'active'", replacesId: credentialId("active000001") }),
  },
  {
    refuses: "a second current credential beside a paused one",
    attack: issue("new000000001", "svc", { name: "'paused'" }),
    code: MC002,
    allows: "one of another name",
    twin: issue("new000000001", "svc", { name: "'paused-2'" }),
  },
  {
    refuses: "a rotation of what is not current any more",
    attack: issue("new000000001", "svc", { name: "'rotated'", replacesId: credentialId("grace0000001") }),
    code: MC002,
    allows: "a rotation of what is",
    twin: issue("new000000001", "svc", { name: "'rotated'", replacesId: credentialId("successor001") }),
  },
  {
    refuses: "a rotation across names",
    attack: issue("new000000001", "svc", { name: "'free'", replacesId: credentialId("active000001") }),
    code: MC003,
    allows: "one that replaces an ended credential of its name",
    twin: issue("new000000001", "svc", { name: "'revoked'", replacesId: credentialId("revoked00001") }),
  },
  {
    refuses: "a second pending credential of a name",
    attack: issue("new000000001", "svc", { name: "'pending'" }),
    code: MC002,
    allows: "one after the deadline of the first",
    twin: `${later("25 hours")}; ${issue("new000000001", "svc", { name: "'pending'" })}`,
  },
  {
    refuses: "two pending credentials of a name by one statement",
    attack: `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", name, "tokenHash", "activationDeadline")
      SELECT 'new00000000' || n, ${idOf("bare")}, 'same', repeat(n::text, 64), midctl_now() + interval '1 day' FROM generate_series(1, 2) n`,
    code: MC002,
    allows: "two of two names",
    twin: `WITH c AS (INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", name, "tokenHash", "activationDeadline")
      SELECT 'new00000000' || n, ${idOf("bare")}, 'n' || n, repeat(n::text, 64), midctl_now() + interval '1 day' FROM generate_series(1, 2) n RETURNING *)
      INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
      SELECT "publicId", 'x', 'mid_test', "tokenHash", "machineIdentityId" FROM c`,
  },
  {
    refuses: "two pending credentials of a name by two branches of one statement",
    attack: `WITH a AS (${credential("new000000001", "bare")} RETURNING 1), b AS (${credential("new000000002", "bare")} RETURNING 1) SELECT 1`,
    code: MC002,
    allows: "a pending one beside an expired pending one",
    twin: `${issue("new000000001", "bare", { expiresAt: "midctl_now() + interval '1 hour'" })}; ${later("2 hours")}; ${issue("new000000002", "bare")}`,
  },
  {
    refuses: "a credential without an end in a protected environment",
    given: PROTECT,
    attack: `${ISSUE_PERMITTED}; ${issue("new000000001", "bare", { expiresAt: "NULL" })}`,
    code: MC003,
    allows: "one with an end",
    twin: `${ISSUE_PERMITTED}; ${issue("new000000001", "bare", ENDS)}`,
  },
  ...(
    [
      ["with another hash", { tokenHash: `'${hashOf("x")}'` }],
      ["with more scopes", { scopes: `'["cards:read","cards:write"]'` }],
      ["with another end", { expiresAt: "midctl_now() + interval '1 day'" }],
      ["under another public id", { publicId: "'active000001'" }],
    ] as const
  ).map(([how, columns]) => ({
    refuses: `an adoption ${how}`,
    attack: `${credential("legacy000001", "bare", { ...LEGACY_FACTS, ...columns })}; ${ATTACH}`,
    code: MC003,
    allows: "one that repeats the legacy token",
    twin: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH}`,
  })),
  {
    refuses: "an adoption in place of another credential",
    attack: `${credential("legacy000001", "svc", { ...LEGACY_FACTS, name: "'revoked'", replacesId: credentialId("revoked00001") })};
      ${setToken("legacy000001", `"machineIdentityId" = ${idOf("svc")}`)}`,
    code: MC003,
    allows: "one that replaces none",
    twin: `${credential("legacy000001", "svc", { ...LEGACY_FACTS, name: "'revoked'" })};
      ${setToken("legacy000001", `"machineIdentityId" = ${idOf("svc")}`)}`,
  },
  {
    refuses: "an adopted credential that is born pending",
    attack: `${credential("legacy000001", "bare", { ...LEGACY_FACTS, status: "'pending'" })}; ${ATTACH}`,
    code: MC001,
    allows: "one that is born active",
    twin: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH}`,
  },
  {
    refuses: "an adoption of a revoked legacy token",
    given: setToken("legacy000001", `"revokedAt" = now()`),
    attack: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH}`,
    code: MC003,
    allows: "issuing anew",
    twin: issue("new000000001", "bare"),
  },
  {
    refuses: "an adoption of a token that has another identity",
    given: hostGave("svc"),
    attack: credential("legacy000001", "bare", LEGACY_FACTS),
    code: MC003,
    allows: "one into the identity that the host gave it",
    twin: credential("legacy000001", "svc", LEGACY_FACTS),
  },
  {
    refuses: "an adoption that cuts an end short, in place of repeating it",
    given: setToken("legacy000001", `"expiresAt" = 'infinity'`),
    attack: `${credential("legacy000001", "bare", { ...LEGACY_FACTS, expiresAt: "midctl_now() + interval '1 day'" })}; ${ATTACH}`,
    code: MC003,
    allows: "none for an end of infinity, which is none",
    twin: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH}`,
  },
  {
    refuses: "an adoption whose token stays behind",
    attack: credential("legacy000001", "bare", LEGACY_FACTS),
    code: MC003,
    allows: "one that takes it along",
    twin: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH}`,
  },
  {
    refuses: "an adoption under a name that is taken",
    attack: `${credential("legacy000001", "svc", { ...LEGACY_FACTS, name: "'active'" })}`,
    code: MC002,
    allows: "one under a free name",
    twin: `${credential("legacy000001", "svc", { ...LEGACY_FACTS, name: "'free'" })}; ${setToken("legacy000001", `"machineIdentityId" = ${idOf("svc")}`)}`,
  },
];
