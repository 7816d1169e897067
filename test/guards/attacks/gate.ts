import {
  creation,
  ENDS,
  ISSUES,
  type Line,
  lines,
  NOT_AFTER,
  object,
  PROTECT,
  PROTECT_NOW,
  permit,
  request,
  take,
  updates,
  vote,
} from "../approvals.ts";
import {
  credential,
  credentialId,
  hashOf,
  identity,
  idOf,
  insert,
  issue,
  later,
  set,
  setIdentity,
  setToken,
} from "../scene.ts";
import { ATTACH, type Attack, LEGACY_FACTS, MC004, MC005 } from "./attack.ts";

/** A control change, and the line of an approved plan that allows it. */
interface Gated {
  readonly change: string;
  readonly sql: string;
  readonly line: Line;
}

const CREATE: Line = {
  do: "identity.create",
  identity: "new",
  terms: { create: creation("new", { labels: `'{"team":"core"}'::jsonb`, parent: "'child'" }) },
};
const AS_CREATED = { labels: `'{"team":"core"}'`, parentId: idOf("child") };
const NEW: Line = {
  do: "credential.issue",
  identity: "bare",
  credential: "new000000001",
  secret: "new000000001",
  terms: ISSUES,
};
const ISSUED = issue("new000000001", "bare", ENDS);
const successor = (columns: Readonly<Record<string, string>> = {}, publicId = "new000000001"): string =>
  issue(publicId, "svc", {
    name: "'active'",
    replacesId: credentialId("active000001"),
    graceSeconds: "60",
    ...ENDS,
    ...columns,
  });
/** A predecessor as a line names it, so many changes ago. */
const replacing = (publicId: string, stale = 0): string =>
  object({
    id: `'mc_${publicId}'`,
    version: `(SELECT version - ${stale} FROM machine_identity_credential WHERE "publicId" = '${publicId}')`,
  });
const rotation = (terms: Readonly<Record<string, string>> = {}): Line => ({
  ...NEW,
  do: "credential.rotate",
  identity: "svc",
  terms: {
    ...ISSUES,
    name: "'active'",
    replaces: replacing("active000001"),
    grace: "60",
    revokes: "'[]'::jsonb",
    ...terms,
  },
});
const update = (fields: Readonly<Record<string, string>>): Line => ({
  do: "identity.update",
  identity: "svc",
  terms: updates(fields),
});
/** Within the life of `svc`, the same whenever it is asked for. */
const SOONER = `(SELECT "createdAt" + interval '1 day' FROM machine_identity WHERE slug = 'svc')`;

const GATED: readonly Gated[] = [
  { change: "creating an identity", sql: identity("new", AS_CREATED), line: CREATE },
  {
    change: "another owner",
    sql: setIdentity("svc", "owner = 'another'"),
    line: update({ owner: "'another'" }),
  },
  {
    change: "another name to show",
    sql: setIdentity("svc", `"displayName" = 'another'`),
    line: update({ displayName: "'another'" }),
  },
  {
    change: "another label",
    sql: setIdentity("svc", `labels = '{"team":"other"}'`),
    line: update({ labels: `'{"team":"other"}'::jsonb` }),
  },
  {
    change: "a sooner end of an identity",
    sql: setIdentity("svc", `"expiresAt" = ${SOONER}`),
    line: update({ expiresAt: `midctl_instant(${SOONER})` }),
  },
  {
    change: "a shorter idle life of an identity",
    sql: setIdentity("svc", `"idleTtl" = 3600`),
    line: update({ idleTtl: "3600" }),
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
  { change: "issuing", sql: ISSUED, line: NEW },
  { change: "rotating", sql: successor(), line: rotation() },
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
    change: "revoking a legacy token by the function for people",
    sql: "SELECT midctl_revoke_legacy('legacy000001')",
    line: { do: "revoke", credential: "legacy000001" },
  },
  {
    change: "ending legacy tokens by the function for people",
    sql: "SELECT midctl_end_legacy('2030-01-01T00:00:00.000Z')",
    line: { do: "token.sunset", terms: { endsAt: `'${NOT_AFTER}'` } },
  },
  {
    change: "a change of what a role may do",
    sql: insert("midctl_grant", { name: "'ops'", role: "1", roles: `'["operator"]'`, added: "'[]'" }),
    line: { do: "environment.grant", terms: { role: "'ops'" } },
  },
];

/** What goes beyond the line that its transaction used up: a change of the same kind, and not the one that it says. */
const BEYOND: readonly { readonly what: string; readonly sql: string; readonly gated: Gated }[] = [
  ...(
    [
      ["another owner", "owner = 'a third'"],
      ["another name to show", `"displayName" = 'a third'`],
      ["another label", `labels = '{"team":"third"}'`],
      ["a sooner end of an identity", `"expiresAt" = ${SOONER} + interval '1 second'`],
      ["a shorter idle life of an identity", `"idleTtl" = 3601`],
      ["another owner", `owner = 'another', "displayName" = 'another'`],
      ["another owner", `owner = 'another', labels = '{}'`],
      ["another owner", `owner = 'another', "expiresAt" = ${SOONER}`],
      ["another owner", `owner = 'another', "idleTtl" = 3600`],
      ["another label", `labels = '{"team":"other"}', owner = 'another'`],
      ["pausing an identity", "status = 'paused', owner = 'another'"],
      ["revoking an identity", "status = 'revoked', labels = '{}'"],
    ] as const
  ).map(([by, assignment]) => ({
    what: `${by} by ${assignment.replaceAll(SOONER, "a day")}`,
    sql: setIdentity("svc", assignment),
    gated: gatedBy(by),
  })),
  ...(
    [
      ["owner", "'another'"],
      ["displayName", "'another'"],
      ["labels", `'{"team":"other"}'`],
      ["parentId", idOf("bare")],
      ["parentId", "NULL"],
      ["kind", "'thread'"],
      ["expiresAt", "midctl_now() + interval '1 day'"],
      ["idleTtl", "3600"],
      ["slug", "'newer'"],
    ] as const
  ).map(([column, value]) => ({
    what: `creating an identity with ${column} ${value}`,
    sql: identity("new", {
      ...AS_CREATED,
      [column]: value,
      ...(column === "kind" ? { provider: "'codex'", threadId: "'7'" } : {}),
    }),
    gated: gatedBy("creating an identity"),
  })),
  ...(
    [
      ["scopes", `'["cards:*"]'`],
      ["name", "'another'"],
      ["expiresAt", "'2031-01-01'"],
      ["activationDeadline", "midctl_now() + interval '25 hours'"],
    ] as const
  ).map(([column, value]) => ({
    what: `issuing with ${column} ${value}`,
    sql: issue("new000000001", "bare", { ...ENDS, [column]: value }),
    gated: gatedBy("issuing"),
  })),
  {
    what: "rotating with a longer grace",
    sql: successor({ graceSeconds: "3600" }),
    gated: gatedBy("rotating"),
  },
  {
    what: "rotating, and revoking what the line does not list",
    sql: `${successor()}; ${set("paused000001", "status = 'revoked'")}`,
    gated: gatedBy("rotating"),
  },
  {
    what: "ending legacy tokens at another moment",
    sql: "SELECT midctl_end_legacy('2029-01-01T00:00:00.000Z')",
    gated: gatedBy("ending legacy tokens by the function for people"),
  },
  {
    what: "a change of what another role may do",
    sql: insert("midctl_grant", { name: "'mallory'", role: "1", roles: `'["operator"]'`, added: "'[]'" }),
    gated: gatedBy("a change of what a role may do"),
  },
];

function gatedBy(change: string): Gated {
  const found = GATED.find((gated) => gated.change === change);
  if (found === undefined) throw new Error(`nothing is gated as ${change}`);
  return found;
}

/** Lines that say another thing, or of another time, than what is done by them; and the line that says it. */
const LINES: readonly Attack[] = (
  [
    [
      "a rotation of what the line does not replace",
      rotation({ replaces: replacing("grace0000001") }),
      successor(),
      [rotation(), successor()],
    ],
    [
      "a rotation by a line that issues",
      { ...rotation({ replaces: "NULL::jsonb" }), do: "credential.issue" },
      successor(),
      [rotation(), successor()],
    ],
    [
      "a revocation under a rotation that does not list it",
      rotation(),
      `${successor()}; ${set("paused000001", "status = 'revoked'")}`,
      [
        rotation({ revokes: `'["mc_paused000001"]'::jsonb` }),
        `${successor()}; ${set("paused000001", "status = 'revoked'")}`,
      ],
    ],
    ...(["pause", "revoke"] as const).flatMap((does): [string, Line, string, [Line, string]][] => {
      const [whole, one]: Line[] = [
        { do: does, identity: "svc" },
        { do: does, credential: "active000001" },
      ];
      const [all, each] = [
        setIdentity("svc", `status = '${does}d'`),
        set("active000001", `status = '${does}d'`),
      ];
      return [
        [
          `the ${does} of an identity by a line on one of its credentials`,
          one as Line,
          all,
          [one as Line, each],
        ],
        [`the ${does} of a credential by a line on its identity`, whole as Line, each, [whole as Line, all]],
      ];
    }),
    [
      "a change of an identity that another came before",
      { ...update({ owner: "'another'" }), stale: 1 },
      setIdentity("svc", "owner = 'another'"),
      [update({ owner: "'another'" }), setIdentity("svc", "owner = 'another'")],
    ],
    ["issuing to an identity that has changed since", { ...NEW, stale: 1 }, ISSUED, [NEW, ISSUED]],
    [
      "rotating for an identity that has changed since",
      { ...rotation(), stale: 1 },
      successor(),
      [rotation(), successor()],
    ],
    [
      "a rotation of a predecessor that has changed since",
      rotation({ replaces: replacing("active000001", 1) }),
      successor(),
      [rotation(), successor()],
    ],
    ...(["pause", "revoke"] as const).map((does): [string, Line, string, [Line, string]] => [
      `the ${does} of a credential that another change came before`,
      { do: does, credential: "active000001", stale: 1 },
      set("active000001", `status = '${does}d'`),
      [{ do: does, credential: "active000001" }, set("active000001", `status = '${does}d'`)],
    ]),
  ] as readonly (readonly [string, Line, string, readonly [Line, string]])[]
).map(([refuses, line, sql, [right, does]]) => ({
  ...{ refuses, given: PROTECT, attack: `${permit(line)}; ${sql}`, code: MC005 },
  ...{ allows: "what the line says", twin: `${permit(right)}; ${does}` },
}));

/** Something that a line on the same things may do, and does not do what this one does. */
function another({ do: does, secret, identity: on, credential }: Line): string {
  if (secret !== undefined) return "environment.protect";
  if (on === undefined && credential === undefined)
    return does === "token.sunset" ? "environment.grant" : "token.sunset";
  return does === "pause" ? "resume" : "pause";
}

/** What waits for its first use, and the line that puts it aside. */
const WAITING = successor({}, "waiting00001");
const ASIDE = set("waiting00001", `status = 'abandoned', "replacedBy" = 'new000000001'`);
const MAKES: Line = { ...NEW, identity: "new", terms: { ...ISSUES, create: creation("new") } };
const MAKES_NEWER: Line = { ...MAKES, identity: "newer", terms: { ...ISSUES, create: creation("newer") } };
const NEWER = `${permit(MAKES_NEWER)}; ${identity("newer")}; ${issue("new000000001", "newer", ENDS)}`;
const LEAKED = rotation({ grace: "0", revokes: `'["mc_active000001", "mc_paused000001"]'::jsonb` });
const LEAKED_BOTH = rotation({
  grace: "0",
  revokes: `'["mc_active000001", "mc_grace0000001"]'::jsonb`,
});
const REVOKED = set("active000001", "status = 'revoked'");
const SECOND = successor({ graceSeconds: "0" });
const TAKEN_IN = `${credential("legacy000001", "bare", { ...LEGACY_FACTS, ...ENDS })}; ${ATTACH}`;
const takesIn = (does: string): Line => ({
  do: does,
  identity: "bare",
  credential: "legacy000001",
  terms: {
    name: "'default'",
    activateWithin: "86400",
    create: "NULL::jsonb",
    credential: object({ id: does === "identity.adopt" ? "'at_legacy000001'" : "'mc_legacy000001'" }),
    token: object({
      secret: `midctl_commitment('${hashOf("legacy000001")}')`,
      scopes: `'["cards:read"]'::jsonb`,
      notAfter: `'${NOT_AFTER}'`,
    }),
  },
});

/** What a line does not say of what comes with the credential that it issues. */
const WITH: readonly Attack[] = (
  [
    [
      "putting a pending credential aside that no line names",
      `${WAITING}; ${PROTECT}`,
      `${permit(rotation())}; ${ASIDE}; ${successor()}`,
      "the one that it names",
      `${permit(rotation({ replacesPending: "'mc_waiting00001'" }))}; ${ASIDE}; ${successor()}`,
    ],
    [
      "issuing to an identity that was made otherwise",
      `${identity("new", { owner: "'another'" })}; ${PROTECT}`,
      `${permit(MAKES)}; ${issue("new000000001", "new", ENDS)}`,
      "to the one that the line makes",
      NEWER,
    ],
    [
      "issuing to an identity that was made before",
      `${identity("new")}; ${PROTECT}`,
      `${permit(MAKES)}; ${issue("new000000001", "new", ENDS)}`,
      "to one that is made with it",
      NEWER,
    ],
    [
      "taking a legacy token in by a line that issues",
      `${setToken("legacy000001", `"expiresAt" = '2030-01-01'`)}; ${PROTECT}`,
      `${permit(takesIn("credential.issue"))}; ${TAKEN_IN}`,
      "by one that adopts",
      `${permit(takesIn("identity.adopt"))}; ${TAKEN_IN}`,
    ],
  ] as const
).map(([refuses, given, attack, allows, twin]) => ({ refuses, given, attack, code: MC005, allows, twin }));

const HALVES: readonly Attack[] = [
  {
    refuses: "a rotation after a leak that leaves what is in its grace",
    given: PROTECT,
    attack: `${permit(LEAKED_BOTH)}; ${REVOKED}; ${SECOND}`,
    code: MC004,
    allows: "one once the grace has ended by itself",
    twin: `${later("2 hours")}; ${permit(LEAKED_BOTH)}; ${REVOKED}; ${SECOND}`,
  },
  {
    refuses: "a rotation after a leak that revokes half of what it says",
    given: PROTECT,
    attack: `${permit(LEAKED)}; ${REVOKED}; ${SECOND}`,
    code: MC004,
    allows: "one that revokes what it says",
    twin: `${permit(LEAKED)}; ${REVOKED}; ${set("paused000001", "status = 'revoked'")}; ${SECOND}`,
  },
];

/** A right that is none: of another kind, over another, with another secret, or not used up by this transaction. */
const MISUSED: readonly { readonly right: string; readonly given: string; readonly gated: Gated }[] = [
  ...GATED.map((gated) => ({
    right: `by a line that says something else, ${gated.change}`,
    given: permit({ ...gated.line, do: another(gated.line) }),
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
  ...BEYOND.map(({ what, sql, gated: { sql: said, line } }) => ({
    ...{ refuses: `by a line that says less, ${what}`, given: PROTECT },
    ...{ attack: `${permit(line)}; ${sql}`, code: MC005 },
    ...{ allows: "what the line says", twin: `${permit(line)}; ${said}` },
  })),
  ...LINES,
  ...WITH,
  ...HALVES,
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

const OF_BARE: Line = { ...update({ owner: "'another'" }), identity: "bare" };

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
    refuses: "a change of an identity after another",
    given: `${setIdentity("bare", `"idleTtl" = 3600`)}; ${PROTECT}`,
    attack: `${permit({ ...OF_BARE, stale: 1 })}; ${setIdentity("bare", "owner = 'another'")}`,
    allows: "one after what the clock brought",
    twin: `${later("61 minutes")}; ${permit(OF_BARE)}; ${setIdentity("bare", "status = 'paused'")}; ${setIdentity("bare", "owner = 'another'")}`,
  },
  {
    refuses: "a change of an identity after a pause by somebody else",
    given: `${setIdentity("bare", "status = 'paused'")}; ${PROTECT}`,
    attack: `${permit({ ...OF_BARE, stale: 1 })}; ${setIdentity("bare", "owner = 'another'")}`,
    allows: "one that knows of it",
    twin: `${permit(OF_BARE)}; ${setIdentity("bare", "owner = 'another'")}`,
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
    twin: PROTECT_NOW,
  },
  {
    refuses: "a sooner end of a credential in a protected environment",
    given: PROTECT,
    attack: set("active000001", `"expiresAt" = "expiresAt" - interval '1 day'`),
    code: MC005,
    allows: "one that comes with what the host does",
    twin: setToken("active000001", `"revokedAt" = midctl_now()`),
  },
  {
    refuses: "a sooner end of a credential than the plan says that protects",
    attack: `${PROTECT_NOW}; ${set("active000001", `"expiresAt" = "expiresAt" - interval '2 days'`)}`,
    code: MC005,
    allows: "the one that it says",
    twin: `${PROTECT_NOW}; ${set("active000001", `"expiresAt" = "expiresAt" - interval '1 day'`)}`,
  },
  {
    refuses: "protection over a legacy token that no plan covers",
    attack: PROTECT_NOW.replaceAll(
      `FROM agent_token)`,
      `FROM agent_token WHERE "machineIdentityId" IS NOT NULL)`,
    ),
    code: MC005,
    allows: "protection once it is revoked",
    twin: `${setToken("legacy000001", `"revokedAt" = midctl_now()`)};
      ${PROTECT_NOW.replaceAll(`FROM agent_token)`, `FROM agent_token WHERE "machineIdentityId" IS NOT NULL)`)}`,
  },
  {
    refuses: "protection by a plan of other secrets",
    attack: PROTECT_NOW.replaceAll(
      `midctl_commitment("tokenHash")`,
      `midctl_commitment(CASE WHEN "machineIdentityId" IS NULL THEN "tokenHash" ELSE "publicId" END)`,
    ),
    code: MC005,
    allows: "protection by one of theirs",
    twin: PROTECT_NOW,
  },
  {
    refuses: "revoking by a line that updates",
    given: PROTECT,
    attack: `${permit(update({ owner: "'another'" }))}; ${setIdentity("svc", "status = 'revoked'")}`,
    code: MC005,
    allows: "what that line says",
    twin: `${permit(update({ owner: "'another'" }))}; ${setIdentity("svc", "owner = 'another'")}`,
  },
];

export const GATE_ATTACKS: readonly Attack[] = [...GATES, ...FREE, ...PROTECTION];
