import { type Line, lines, PROTECT, permit, request, take, vote } from "../approvals.ts";
import { credentialId, identity, issue, later, set, setIdentity, setToken } from "../scene.ts";
import { type Attack, MC005 } from "./attack.ts";

/** A control change, and the line of an approved plan that allows it. */
interface Gated {
  readonly change: string;
  readonly sql: string;
  readonly line: Line;
}

const NEW: Line = {
  do: "credential.issue",
  identity: "bare",
  credential: "new000000001",
  secret: "new000000001",
};
const SUCCESSOR = issue("new000000001", "svc", {
  name: "'active'",
  replacesId: credentialId("active000001"),
  graceSeconds: "60",
});
const ROTATION: Line = { ...NEW, do: "credential.rotate", identity: "svc" };

const GATED: readonly Gated[] = [
  { change: "creating an identity", sql: identity("new"), line: { do: "identity.create", identity: "new" } },
  {
    change: "another owner",
    sql: setIdentity("svc", "owner = 'another'"),
    line: { do: "identity.update", identity: "svc" },
  },
  {
    change: "another label",
    sql: setIdentity("svc", `labels = '{"team":"other"}'`),
    line: { do: "identity.update", identity: "svc" },
  },
  {
    change: "a sooner end of an identity",
    sql: setIdentity("svc", `"expiresAt" = midctl_now() + interval '1 day'`),
    line: { do: "identity.update", identity: "svc" },
  },
  {
    change: "pausing an identity",
    sql: setIdentity("svc", "status = 'paused'"),
    line: { do: "pause", identity: "svc" },
  },
  {
    change: "resuming an identity",
    sql: setIdentity("still", "status = 'active'"),
    line: { do: "resume", identity: "still" },
  },
  {
    change: "revoking an identity",
    sql: setIdentity("svc", "status = 'revoked'"),
    line: { do: "revoke", identity: "svc" },
  },
  { change: "issuing", sql: issue("new000000001", "bare"), line: NEW },
  { change: "rotating", sql: SUCCESSOR, line: ROTATION },
  {
    change: "pausing a credential",
    sql: set("active000001", "status = 'paused'"),
    line: { do: "pause", credential: "active000001" },
  },
  {
    change: "resuming a credential",
    sql: set("paused000001", "status = 'active'"),
    line: { do: "resume", credential: "paused000001" },
  },
  {
    change: "revoking a credential",
    sql: set("active000001", "status = 'revoked'"),
    line: { do: "revoke", credential: "active000001" },
  },
  {
    change: "a sooner end of a credential",
    sql: set("active000001", `"expiresAt" = midctl_now() + interval '1 day'`),
    line: { do: "environment.protect", credential: "active000001" },
  },
];

/** A right that is none: of another kind, over another, with another secret, or not used up by this transaction. */
const MISUSED: readonly { readonly right: string; readonly given: string; readonly gated: Gated }[] = [
  ...GATED.map((gated) => ({
    right: `by a line that says something else, ${gated.change}`,
    given: permit({ ...gated.line, do: gated.line.do === "pause" ? "resume" : "pause" }),
    gated,
  })),
  ...GATED.filter(({ line }) => line.identity !== undefined).map((gated) => ({
    right: `by a line over another identity, ${gated.change}`,
    given: permit({ ...gated.line, identity: "child" }),
    gated,
  })),
  ...GATED.filter(({ line }) => line.credential !== undefined).map((gated) => ({
    right: `by a line over another credential, ${gated.change}`,
    given: permit({ ...gated.line, credential: "grace0000001" }),
    gated,
  })),
  ...GATED.filter(({ line }) => line.secret !== undefined).map((gated) => ({
    right: `by a line of another secret, ${gated.change}`,
    given: permit({ ...gated.line, secret: "grace0000001" }),
    gated,
  })),
  ...GATED.map((gated) => ({
    right: `by a line that is superseded, ${gated.change}`,
    given: [
      request("permit000001", lines(gated.line)),
      vote("permit000001", "approval", "bob"),
      take("permit000001", "'superseded'"),
    ].join("; "),
    gated,
  })),
  ...GATED.map((gated) => ({
    right: `by a line that is approved and not used up, ${gated.change}`,
    given: `${request("permit000001", lines(gated.line))}; ${vote("permit000001", "approval", "bob")}`,
    gated,
  })),
];

const GATES: readonly Attack[] = [
  ...GATED.map(({ change, sql, line }) => ({
    refuses: `${change} in a protected environment`,
    given: PROTECT,
    attack: sql,
    code: MC005,
    allows: "what an approved line says, in the transaction that uses it up",
    twin: `${permit(line)}; ${sql}`,
  })),
  ...MISUSED.map(({ right, given, gated: { sql, line } }) => ({
    refuses: right,
    given: PROTECT,
    attack: `${given}; ${sql}`,
    code: MC005,
    allows: "what the line says",
    twin: `${permit(line)}; ${sql}`,
  })),
];

/** What stays nobody's decision, beside the nearest thing that is somebody's. */
const FREE: readonly Attack[] = [
  {
    refuses: "a pause of an identity that is not idle",
    given: `${setIdentity("bare", `"idleTtl" = 3600`)}; ${PROTECT}`,
    attack: `${later("59 minutes")}; ${setIdentity("bare", "status = 'paused'")}`,
    allows: "that of one which is",
    twin: `${later("61 minutes")}; ${setIdentity("bare", "status = 'paused'")}`,
  },
  {
    refuses: "a resume of a credential",
    attack: set("paused000001", "status = 'active'"),
    allows: "a first use",
    twin: set("pending00001", "status = 'active'"),
  },
  {
    refuses: "a revocation of a pending credential",
    attack: set("pending00001", "status = 'revoked'"),
    allows: "that of its token, by the host",
    twin: setToken("pending00001", `"revokedAt" = midctl_now()`),
  },
  {
    refuses: "a revocation of an active credential",
    attack: set("active000001", "status = 'revoked'"),
    allows: "that of its token, by the host",
    twin: setToken("active000001", `"revokedAt" = midctl_now()`),
  },
  {
    refuses: "a revocation of a credential past its deadline",
    attack: `${later("2 days")}; ${set("pending00001", "status = 'revoked'")}`,
    allows: "its abandonment",
    twin: `${later("2 days")}; ${set("pending00001", "status = 'abandoned'")}`,
  },
  {
    refuses: "a change of an identity's owner",
    attack: setIdentity("svc", "owner = 'another'"),
    allows: "a note of its use, and of its token's",
    twin: `${setIdentity("svc", `"lastUsedAt" = midctl_now()`)}; ${setToken("active000001", `"lastUsedAt" = midctl_now()`)}`,
  },
].map((attack) => ({ given: PROTECT, code: MC005, ...attack }));

const PROTECTION: readonly Attack[] = [
  {
    refuses: "protection over what no plan covers",
    attack: "UPDATE midctl_environment SET protected = true",
    code: MC005,
    allows: "protection over what one does",
    twin: PROTECT,
  },
  {
    refuses: "protection over a legacy token that no plan covers",
    attack: PROTECT.replaceAll(
      `FROM agent_token)`,
      `FROM agent_token WHERE "machineIdentityId" IS NOT NULL)`,
    ),
    code: MC005,
    allows: "protection once it is revoked",
    twin: `${setToken("legacy000001", `"revokedAt" = midctl_now()`)};
      ${PROTECT.replaceAll(`FROM agent_token)`, `FROM agent_token WHERE "machineIdentityId" IS NOT NULL)`)}`,
  },
  {
    refuses: "protection by a plan of other secrets",
    attack: PROTECT.replaceAll(
      `midctl_commitment("tokenHash")`,
      `midctl_commitment(CASE WHEN "machineIdentityId" IS NULL THEN "tokenHash" ELSE "publicId" END)`,
    ),
    code: MC005,
    allows: "protection by one of theirs",
    twin: PROTECT,
  },
  {
    refuses: "revoking by a line that updates",
    given: PROTECT,
    attack: `${permit({ do: "identity.update", identity: "svc" })}; ${setIdentity("svc", "status = 'revoked'")}`,
    code: MC005,
    allows: "what that line says",
    twin: `${permit({ do: "identity.update", identity: "svc" })}; ${setIdentity("svc", "owner = 'another'")}`,
  },
];

export const GATE_ATTACKS: readonly Attack[] = [...GATES, ...FREE, ...PROTECTION];
