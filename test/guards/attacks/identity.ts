import { identity, idOf, later, setIdentity } from "../scene.ts";
import { type Attack, CHECK, immutable, MC001, MC003, MC004, UNIQUE } from "./attack.ts";

export const IDENTITY_BIRTH_ATTACKS: readonly Attack[] = [
  ...(
    [
      ["paused", { status: "'paused'" }, MC001],
      ["revoked", { status: "'revoked'", revokedAt: "midctl_now()" }, MC001],
      ["already paused once", { pausedAt: "midctl_now()" }, MC001],
      ["already resumed once", { resumedAt: "midctl_now()" }, MC001],
      ["already revoked once", { revokedAt: "midctl_now()" }, MC001],
      ["already used", { lastUsedAt: "midctl_now()" }, MC001],
      ["already over", { expiresAt: "midctl_now()" }, MC003],
      ["ending at infinity", { expiresAt: "'infinity'" }, MC003],
      ["with labels that are no text", { labels: `'{"a":1}'` }, MC003],
      ["with an idle life of a thousand years", { idleTtl: "31557600000" }, MC003],
      ["with an idle life of nothing", { idleTtl: "0" }, CHECK],
      ["without an owner", { owner: "''" }, CHECK],
      ["with a slug in capitals", { slug: "'New'" }, CHECK],
      ["with labels that are a list", { labels: `'["a"]'` }, CHECK],
      ["as a thread without a thread id", { kind: "'thread'", provider: "'codex'" }, CHECK],
      ["as a service with a thread id", { provider: "'codex'", threadId: "'2'" }, CHECK],
      ["with a taken slug", { slug: "'svc'" }, UNIQUE],
      ["with a taken thread", { kind: "'thread'", provider: "'codex'", threadId: "'1'" }, UNIQUE],
      ["with a public id of other characters", { publicId: "'_bcdefghijkl'" }, CHECK],
      ["under a parent that is not there", { parentId: "999999" }, MC003],
      ["under itself", { id: "700001", parentId: "700001" }, MC003],
      ["under a revoked parent", { parentId: idOf("gone") }, MC004],
    ] as const
  ).map(([how, columns, code]) => ({
    refuses: `an identity born ${how}`,
    attack: identity("new", columns),
    code,
    allows: "one born active",
    twin: identity("new", {
      labels: `'{"a":"1"}'`,
      idleTtl: "60",
      expiresAt: "midctl_now() + interval '1 day'",
    }),
  })),
  {
    refuses: "an identity under an expired parent",
    given: later("2 days"),
    attack: identity("new", { parentId: idOf("brief") }),
    code: MC004,
    allows: "one under a parent that has not expired",
    twin: identity("new", { parentId: idOf("svc") }),
  },
  {
    refuses: "an identity under a parent whose own parent is revoked",
    given: setIdentity("svc", "status = 'revoked'"),
    attack: identity("new", { parentId: idOf("child") }),
    code: MC004,
    allows: "one under a paused parent",
    twin: identity("new", { parentId: idOf("still") }),
  },
  {
    refuses: "two identities that are each other's parent, made by one statement",
    attack: `INSERT INTO machine_identity (id, "publicId", slug, "displayName", kind, owner, "parentId")
      VALUES (700001, 'loop00000001', 'loop-1', 'x', 'service', 'x', 700002),
             (700002, 'loop00000002', 'loop-2', 'x', 'service', 'x', 700001)`,
    code: MC003,
    allows: "parent and child made by one statement",
    twin: `INSERT INTO machine_identity (id, "publicId", slug, "displayName", kind, owner, "parentId")
      VALUES (700001, 'loop00000001', 'loop-1', 'x', 'service', 'x', NULL),
             (700002, 'loop00000002', 'loop-2', 'x', 'service', 'x', 700001)`,
  },
];

export const IDENTITY_CHANGE_ATTACKS: readonly Attack[] = [
  ...immutable(
    "an identity",
    (assignment) => setIdentity("svc", assignment),
    {
      id: "700001",
      publicId: "'another00001'",
      slug: "'other'",
      parentId: idOf("bare"),
      createdAt: "'2020-01-01'",
      registeredBy: "'somebody else'",
      workspaceId: "1",
      pausedAt: "midctl_now()",
      resumedAt: "midctl_now()",
      revokedAt: "midctl_now()",
      version: "99",
    },
    "owner = 'another', labels = '{}', \"displayName\" = 'Another'",
  ),
  ...immutable(
    "a thread identity",
    (assignment) => setIdentity("codex-1", assignment),
    { provider: "'claude'", threadId: "'2'" },
    "owner = 'another'",
  ),
  {
    refuses: "a service that becomes a thread",
    attack: setIdentity("svc", `kind = 'thread', provider = 'codex', "threadId" = '2'`),
    code: MC003,
    allows: "a new owner",
    twin: setIdentity("svc", "owner = 'another'"),
  },
  {
    refuses: "taking the parent away",
    attack: setIdentity("child", '"parentId" = NULL'),
    code: MC003,
    allows: "repeating it",
    twin: setIdentity("child", `"parentId" = "parentId", owner = 'another'`),
  },
  ...(
    [
      ["an identity's status with its timestamp", "svc", `status = 'paused', "pausedAt" = '2020-01-01'`],
      ["a later end of an identity", "svc", `"expiresAt" = "expiresAt" + interval '1 millisecond'`],
      ["no end for an identity that has one", "svc", '"expiresAt" = NULL'],
      ["an end of an identity before all time", "svc", `"expiresAt" = '-infinity'`],
      ["a longer idle life", "svc", '"idleTtl" = "idleTtl" + 1'],
      ["no idle life for an identity that has one", "svc", '"idleTtl" = NULL'],
      ["an idle life of a thousand years", "bare", '"idleTtl" = 31557600000'],
      ["a use in the future", "svc", `"lastUsedAt" = midctl_now() + interval '1 hour'`],
      ["labels that are no text", "svc", `labels = '{"team":7}'`],
    ] as const
  ).map(([refuses, slug, assignment]) => ({
    refuses,
    attack: setIdentity(slug, assignment),
    code: MC003,
    allows: "the same in the legal direction",
    twin: setIdentity(
      slug,
      `"expiresAt" = midctl_now() + interval '1 hour', "idleTtl" = 60, labels = '{"team":"7"}', "lastUsedAt" = midctl_now()`,
    ),
  })),
  {
    refuses: "a use that is taken back",
    given: setIdentity("svc", '"lastUsedAt" = midctl_now()'),
    attack: setIdentity("svc", '"lastUsedAt" = NULL'),
    code: MC003,
    allows: "a later use",
    twin: `${later("1 minute")}; ${setIdentity("svc", '"lastUsedAt" = midctl_now()')}`,
  },
  {
    refuses: "a use before the last one",
    given: setIdentity("svc", '"lastUsedAt" = midctl_now()'),
    attack: setIdentity("svc", `"lastUsedAt" = "lastUsedAt" - interval '1 millisecond'`),
    code: MC003,
    allows: "the same use again",
    twin: setIdentity("svc", '"lastUsedAt" = "lastUsedAt"'),
  },
  ...(
    [
      ["status", "'active'"],
      ["displayName", "'x'"],
      ["owner", "'x'"],
      ["labels", `'{"a":"b"}'`],
      ["expiresAt", "midctl_now() + interval '1 day'"],
      ["idleTtl", "60"],
      ["lastUsedAt", "midctl_now()"],
    ] as const
  ).map(([column, value]) => ({
    refuses: `another ${column} of a revoked identity`,
    attack: setIdentity("gone", `"${column}" = ${value}`),
    code: MC001,
    allows: "the same of one that is not revoked",
    twin: setIdentity("bare", `"${column}" = ${value}`),
  })),
];
