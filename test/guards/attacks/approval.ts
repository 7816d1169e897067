import { approvalId, at, lines, object, open, PROTECT, request, take, vote } from "../approvals.ts";
import { later, setIdentity } from "../scene.ts";
import { type Attack, immutable, MC001, MC002, MC003, MC004, MC005, UNIQUE } from "./attack.ts";

const ID = "asked0000001";
const OTHER = "asked0000002";
const PAUSE = lines({ do: "pause", identity: "bare" }, { do: "pause", identity: "svc" });
const ASKED = request(ID, PAUSE);
const APPROVED = `${ASKED}; ${vote(ID, "approval", "bob")}`;
/** What the lines say, done. */
const PAUSED = `${setIdentity("bare", "status = 'paused'")}; ${setIdentity("svc", "status = 'paused'")}`;
const CARRIED_OUT = `${take(ID)}; ${PAUSED}`;
const DONE = `${PROTECT}; ${APPROVED}; ${CARRIED_OUT}`;
/** Another plan, carried out. */
const ANOTHER_DONE = [
  request(OTHER, lines({ do: "resume", identity: "still" }), { quorum: 2 }),
  vote(OTHER, "approval", "bob"),
  vote(OTHER, "approval", "carol"),
  take(OTHER),
  setIdentity("still", "status = 'active'"),
].join("; ");
/** Broken glass: `breakGlass` is said, and the lines are done before anybody approves. */
const BROKEN = request(ID, PAUSE, { fields: { breakGlass: `jsonb_build_object('ticket', 'T-1')` } });
const SIGNED = `${BROKEN}; ${vote(ID, "request", "alice")}`;

const approval = (assignment: string) =>
  `UPDATE midctl_approval SET ${assignment} WHERE "publicId" = '${ID}'`;
const line = (assignment: string) =>
  `UPDATE midctl_approval_line SET ${assignment} WHERE line = 1 AND "approvalId" = ${approvalId(ID)}`;
const FIRST_DONE = `${line("outcome = 'done'")}; ${setIdentity("bare", "status = 'paused'")}`;
const HALF_DONE = `${PROTECT}; ${APPROVED}; ${FIRST_DONE}`;
const CANCEL = approval("status = 'cancelled'");
const ANOTHER_CANCELLED = `${request(OTHER, PAUSE)};
  UPDATE midctl_approval SET status = 'cancelled' WHERE "publicId" = '${OTHER}'`;
const plan = (
  text: string,
) => `INSERT INTO midctl_plan (digest, plan) VALUES (encode(sha256(convert_to('${text}', 'UTF8')), 'hex'), '${text}');
  ${open(`encode(sha256(convert_to('${text}', 'UTF8')), 'hex')`)}`;

/** Plans that may not be requested, by what is wrong with them. */
const REQUESTS: readonly Attack[] = [
  ...(
    [
      ["a plan that is no JSON", plan("hello")],
      ["a plan that says nothing", plan("{}")],
      ["a plan of no lines", request(ID, "'[]'::jsonb", { fields: { action: "'pause'" } })],
      [
        "a plan whose lines do another thing than its action says",
        request(ID, PAUSE, { fields: { action: "'resume'" } }),
      ],
      [
        "a plan of two actions",
        request(ID, lines({ do: "pause", identity: "bare" }, { do: "revoke", identity: "svc" })),
      ],
      [
        "a plan that names an identity by another's slug",
        request(ID, lines({ do: "pause", identity: "bare", reads: "svc" })),
      ],
      [
        "a plan that pauses an identity and names a credential beside it",
        request(ID, lines({ do: "pause", identity: "bare", credential: "active000001" })),
      ],
      ["a plan that pauses nothing", request(ID, lines({ do: "pause" }))],
      [
        "a plan that issues to nobody",
        request(ID, lines({ do: "credential.issue", credential: "new000000001", secret: "new000000001" })),
      ],
      [
        "a plan that pauses and names a token",
        request(ID, lines({ do: "pause", identity: "bare", secret: "active000001" })),
      ],
      [
        "a plan that calls a credential a legacy token",
        request(ID, lines({ do: "pause", terms: { credential: object({ id: "'at_active000001'" }) } })),
      ],
      [
        "a plan that issues what it calls a legacy token",
        request(
          ID,
          lines({
            ...{
              do: "credential.issue",
              identity: "bare",
              credential: "new000000001",
              secret: "new000000001",
            },
            terms: { credential: object({ id: "'at_new000000001'" }) },
          }),
        ),
      ],
      [
        "a plan that calls a legacy token a credential",
        request(ID, lines({ do: "revoke", terms: { credential: object({ id: "'mc_legacy000001'" }) } })),
      ],
      ["a plan of nobody", request(ID, PAUSE, { fields: { requester: "''" } })],
      ["a plan without an id", request(ID, PAUSE, { fields: { id: "'ap_x'" } })],
      ["a plan with an id that only ends as one", request(ID, PAUSE, { fields: { id: `'mc_${ID}'` } })],
      ["a plan without a clock", request(ID, PAUSE, { fields: { executeBy: "'infinity'" } })],
      [
        "a plan of another database",
        request(ID, PAUSE, {
          fields: { environment: `jsonb_build_object('databaseId', gen_random_uuid())` },
        }),
      ],
      ["a plan of no database", request(ID, PAUSE, { fields: { environment: "NULL::jsonb" } })],
      ["a plan made an hour ago", request(ID, PAUSE, { fields: { requestedAt: at("-1 hour") } })],
      ["a plan made in two minutes", request(ID, PAUSE, { fields: { requestedAt: at("2 minutes") } })],
      ["a plan approved after its execution", request(ID, PAUSE, { fields: { approveBy: at("3 hours") } })],
      [
        "a plan to be approved before it is made",
        request(ID, PAUSE, { fields: { approveBy: at("-1 minute") } }),
      ],
      ["a plan to be carried out in two days", request(ID, PAUSE, { fields: { executeBy: at("2 days") } })],
      [
        "a hash that the plan is not committed to",
        request(
          ID,
          lines({
            do: "credential.issue",
            identity: "bare",
            credential: "new000000001",
            secret: "new000000001",
          }),
          {
            hashes: `["${"0".repeat(64)}"]`,
          },
        ),
      ],
      [
        "breaking the glass to issue",
        request(
          ID,
          lines({
            do: "credential.issue",
            identity: "bare",
            credential: "new000000001",
            secret: "new000000001",
          }),
          { fields: { breakGlass: "jsonb_build_object('ticket', 'T-1')" } },
        ),
      ],
      [
        "breaking the glass to resume",
        request(ID, lines({ do: "resume", identity: "still" }), {
          fields: { breakGlass: "jsonb_build_object('ticket', 'T-1')" },
        }),
      ],
    ] as const
  ).map(([refuses, attack]) => ({
    ...{ refuses, attack, code: MC003, allows: "one that is as it should be", twin: ASKED },
  })),
  {
    refuses: "a second request for the same plan",
    given: ASKED,
    attack: open(`(SELECT digest FROM midctl_approval WHERE "publicId" = '${ID}')`),
    code: UNIQUE,
    allows: "one for another plan",
    twin: request(OTHER, PAUSE),
  },
];

const ASKS: readonly Attack[] = [
  ...immutable(
    "a request",
    approval,
    {
      quorum: "2",
      requester: "'mallory'",
      action: "'another'",
      breakGlass: "true",
      lines: "1",
      publicId: `'${OTHER}'`,
      requestedAt: `"requestedAt" - interval '1 minute'`,
      approveBy: `"approveBy" + interval '1 minute'`,
      executeBy: `"executeBy" + interval '1 minute'`,
      endedAt: "midctl_now()",
    },
    "status = 'cancelled'",
  ).map((attack) => ({ ...attack, given: ASKED })),
  ...["approved", "executed", "rejected", "superseded", "countersigned"].map((status) => ({
    refuses: `a request that is ${status} by hand`,
    given: ASKED,
    attack: approval(`status = '${status}'`),
    code: MC003,
    allows: "one that is cancelled",
    twin: CANCEL,
  })),
  {
    refuses: "lines counted off by hand",
    given: ASKED,
    attack: approval("remaining = 0"),
    code: MC003,
    allows: "a cancellation",
    twin: CANCEL,
  },
  {
    refuses: "a cancellation that counts lines off",
    given: ASKED,
    attack: approval("status = 'cancelled', remaining = 0"),
    code: MC003,
    allows: "one that does not",
    twin: CANCEL,
  },
  {
    refuses: "cancelling what was rejected",
    given: `${ASKED}; ${vote(ID, "rejection", "bob")}`,
    attack: CANCEL,
    code: MC001,
    allows: "cancelling another",
    twin: ANOTHER_CANCELLED,
  },
  {
    refuses: "cancelling what is carried out",
    given: DONE,
    attack: CANCEL,
    code: MC001,
    allows: "cancelling another",
    twin: ANOTHER_CANCELLED,
  },
  {
    refuses: "cancelling broken glass",
    given: SIGNED,
    attack: CANCEL,
    code: MC001,
    allows: "countersigning it",
    twin: vote(ID, "approval", "bob"),
  },
];

/** An update as it would come from a trigger of somebody's own. */
const tricked = (sql: string): string => `
  CREATE FUNCTION pg_temp.trick() RETURNS trigger LANGUAGE plpgsql AS $trick$ BEGIN ${sql}; RETURN NULL; END $trick$;
  CREATE TEMP TABLE bait (x int);
  CREATE TRIGGER trick AFTER INSERT ON bait FOR EACH ROW EXECUTE FUNCTION pg_temp.trick();
  INSERT INTO bait VALUES (1)`;

const TRICKS: readonly Attack[] = [
  ...(
    [
      ["approved", "that nobody voted on", ASKED],
      ["approved", "of broken glass", SIGNED],
      ["rejected", "that nobody rejected", APPROVED],
      ["executed", "of which nothing was done", APPROVED],
      ["executed", "of which one line was done", HALF_DONE],
      ["superseded", "whose lines are open", APPROVED],
      ["open", "that is approved", APPROVED],
      ["countersigned", "of glass that nobody countersigned", SIGNED],
      ["countersigned", "that broke no glass", APPROVED],
    ] as const
  ).map(([status, what, given]) => ({
    ...{ refuses: `a request ${what} that is ${status} by a trigger of somebody's own`, given, code: MC003 },
    ...{ attack: tricked(approval(`status = '${status}'`)) },
    ...{ allows: "a vote", twin: `${request(OTHER, PAUSE)}; ${vote(OTHER, "approval", "carol")}` },
  })),
];

/** What is never carried out by hand is not called so either. */
const GLASS: readonly Attack[] = (
  [
    ["executed", `${PROTECT}; ${SIGNED}; ${CARRIED_OUT}`],
    ["superseded", `${PROTECT}; ${SIGNED}; ${take(ID, "'superseded'")}`],
  ] as const
).flatMap(([status, given]) =>
  (
    [
      ["by hand", approval(`status = '${status}'`)],
      ["by a trigger of somebody's own", tricked(approval(`status = '${status}'`))],
    ] as const
  ).map(([how, attack]) => ({
    ...{ refuses: `broken glass that is ${status} ${how}`, given, attack, code: MC003 },
    ...{ allows: "a countersignature", twin: vote(ID, "approval", "bob") },
  })),
);

const VOTES: readonly Attack[] = [
  {
    refuses: "an approval by the requester",
    given: ASKED,
    attack: vote(ID, "approval", "alice"),
    code: MC003,
    allows: "one by somebody else",
    twin: vote(ID, "approval", "bob"),
  },
  {
    refuses: "a request signed by another",
    given: ASKED,
    attack: vote(ID, "request", "bob"),
    code: MC003,
    allows: "one signed by the requester",
    twin: vote(ID, "request", "alice"),
  },
  {
    refuses: "a request signed once it is approved",
    given: APPROVED,
    attack: vote(ID, "request", "alice"),
    code: MC003,
    allows: "another approval",
    twin: vote(ID, "approval", "carol"),
  },
  {
    refuses: "an approval that comes too late",
    given: ASKED,
    attack: `${later("61 minutes")}; ${vote(ID, "approval", "bob")}`,
    code: MC004,
    allows: "one in time",
    twin: `${later("59 minutes")}; ${vote(ID, "approval", "bob")}`,
  },
  {
    refuses: "an approval of what was rejected",
    given: `${ASKED}; ${vote(ID, "rejection", "carol")}`,
    attack: vote(ID, "approval", "bob"),
    code: MC001,
    allows: "one of another",
    twin: `${request(OTHER, PAUSE)}; ${vote(OTHER, "approval", "bob")}`,
  },
  {
    refuses: "a vote on nothing",
    given: ASKED,
    attack: vote("nothing00001", "approval", "bob"),
    code: MC001,
    allows: "one on something",
    twin: vote(ID, "approval", "bob"),
  },
  {
    refuses: "a rejection of broken glass",
    given: SIGNED,
    attack: vote(ID, "rejection", "bob"),
    code: MC001,
    allows: "a countersignature, however late",
    twin: `${later("20 days")}; ${vote(ID, "approval", "bob")}`,
  },
  {
    refuses: "a 65th vote",
    given: `${request(ID, PAUSE, { quorum: 100 })};
      INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
      SELECT ${approvalId(ID)}, 'approval', 'owner ' || n, 'a key', 'signed' FROM generate_series(1, 64) n`,
    attack: vote(ID, "approval", "bob"),
    code: MC002,
    allows: "one on another",
    twin: `${request(OTHER, PAUSE)}; ${vote(OTHER, "approval", "bob")}`,
  },
  {
    refuses: "a request signed twice",
    given: `${ASKED}; ${vote(ID, "request", "alice")}`,
    attack: vote(ID, "request", "alice", "another"),
    code: MC002,
    allows: "a countersignature, whatever was made up before",
    twin: `${BROKEN.replaceAll(ID, OTHER)}; ${vote(OTHER, "request", "alice")};
      INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
      SELECT ${approvalId(OTHER)}, 'approval', 'nobody ' || n, 'a key', 'made up' FROM generate_series(1, 100) n;
      ${vote(OTHER, "approval", "bob")}`,
  },
  {
    refuses: "a request signed once broken glass is countersigned",
    given: `${SIGNED}; ${vote(ID, "approval", "somebody made up")}`,
    attack: vote(ID, "request", "alice", "another"),
    code: MC001,
    allows: "a further countersignature",
    twin: vote(ID, "approval", "bob"),
  },
  ...["principal = 'carol'", "signature = 'another'", "kind = 'rejection'", "at = midctl_now()"].map(
    (assignment) => ({
      refuses: `a vote that is changed: ${assignment}`,
      given: APPROVED,
      attack: `UPDATE midctl_approval_vote SET ${assignment}`,
      code: MC003,
      allows: "a further vote",
      twin: vote(ID, "approval", "carol"),
    }),
  ),
  {
    refuses: "a plan that is changed",
    given: ASKED,
    attack: `UPDATE midctl_plan SET hashes = '["x"]'`,
    code: MC003,
    allows: "another plan",
    twin: request(OTHER, PAUSE),
  },
];

const ANOTHER_SUPERSEDED = `${request(OTHER, PAUSE)}; ${vote(OTHER, "approval", "bob")}; ${take(OTHER, "'superseded'")}`;

const LINES: readonly Attack[] = [
  {
    refuses: "a line written by hand",
    given: APPROVED,
    attack: `INSERT INTO midctl_approval_line ("approvalId", line, "do", identity) VALUES (${approvalId(ID)}, 9, 'revoke', 'x')`,
    code: MC003,
    allows: "a line superseded",
    twin: line("outcome = 'superseded'"),
  },
  ...immutable(
    "a line",
    (assignment) => line(`outcome = 'superseded', ${assignment}`),
    {
      do: "'revoke'",
      identity: "'other0000001'",
      credential: "'active000001'",
      secret: "'x'",
      terms: "'{}'",
      endedAt: "midctl_now()",
      transaction: "pg_current_xact_id()",
      line: "9",
    },
    `identity = identity`,
  ).map((attack) => ({ ...attack, given: APPROVED })),
  ...(
    [
      ["a line carried out twice", HALF_DONE, "outcome = 'done'"],
      ["a line superseded once done", HALF_DONE, "outcome = 'superseded'"],
      ["a line taken back", HALF_DONE, "outcome = NULL"],
      ["a line set to nothing", APPROVED, "outcome = NULL"],
    ] as const
  ).map(([refuses, given, assignment]) => ({
    ...{ refuses, given, attack: line(assignment), code: MC002 },
    ...{ allows: "a line of another plan superseded", twin: ANOTHER_SUPERSEDED },
  })),
  ...(
    [
      ["a line of what nobody approved", ASKED],
      ["a line of what was rejected", `${APPROVED}; ${vote(ID, "rejection", "carol")}`],
      ["a line of what was cancelled", `${APPROVED}; ${CANCEL}`],
      [
        "a line of what one of two approved",
        `${request(ID, PAUSE, { quorum: 2 })}; ${vote(ID, "approval", "bob")}`,
      ],
      [
        "a line of what one of two approved with two keys",
        `${request(ID, PAUSE, { quorum: 2 })}; ${vote(ID, "approval", "bob")}; ${vote(ID, "approval", "bob", "another")}`,
      ],
      ["a line of glass broken unsigned", BROKEN],
    ] as const
  ).map(([refuses, given]) => ({
    ...{ refuses, given: `${PROTECT}; ${given}`, attack: CARRIED_OUT, code: MC005 },
    ...{ allows: "a line of what two of two approved", twin: ANOTHER_DONE },
  })),
  {
    refuses: "a line carried out too late",
    given: `${PROTECT}; ${APPROVED}`,
    attack: `${later("121 minutes")}; ${CARRIED_OUT}`,
    code: MC004,
    allows: "one after the time for approval, and before that for execution",
    twin: `${later("119 minutes")}; ${CARRIED_OUT}`,
  },
  {
    refuses: "a line of broken glass too late",
    given: `${PROTECT}; ${SIGNED}`,
    attack: `${later("121 minutes")}; ${CARRIED_OUT}`,
    code: MC004,
    allows: "one in time",
    twin: CARRIED_OUT,
  },
  {
    refuses: "a line in the transaction of another approval",
    given: `${PROTECT}; ${APPROVED}; ${request(OTHER, lines({ do: "resume", identity: "still" }))}; ${vote(OTHER, "approval", "bob")}`,
    attack: `${CARRIED_OUT}; ${take(OTHER)}; ${setIdentity("still", "status = 'active'")}`,
    code: MC003,
    allows: "all lines of one",
    twin: CARRIED_OUT,
  },
  {
    refuses: "a line used up without effect",
    given: `${PROTECT}; ${APPROVED}`,
    attack: `${take(ID)}; ${setIdentity("bare", "status = 'paused'")}`,
    code: MC004,
    allows: "lines of which each had its own",
    twin: CARRIED_OUT,
  },
  ...(
    [
      ["a line said to be done that nobody used up", line("used = true")],
      ["a line said to be done as it is used up", line("outcome = 'done', used = true")],
      ["a line said not to have been done", `${CARRIED_OUT}; ${line("used = false")}`],
    ] as const
  ).map(([refuses, attack]) => ({
    ...{ refuses, attack, given: `${PROTECT}; ${APPROVED}`, code: MC003 },
    ...{ allows: "one that was", twin: CARRIED_OUT },
  })),
];

const TABLES = ["midctl_plan", "midctl_approval", "midctl_approval_line", "midctl_approval_vote"];

const STAYS: readonly Attack[] = TABLES.flatMap((table) => [
  {
    refuses: `deleting from ${table}`,
    given: DONE,
    attack: `DELETE FROM ${table}`,
    code: MC003,
    allows: "a further request",
    twin: request(OTHER, PAUSE),
  },
  {
    refuses: `truncating ${table}`,
    given: DONE,
    attack: `TRUNCATE ${table} CASCADE`,
    code: MC003,
    allows: "a further request",
    twin: request(OTHER, PAUSE),
  },
]);

export const APPROVAL_ATTACKS: readonly Attack[] = [
  ...REQUESTS,
  ...ASKS,
  ...TRICKS,
  ...GLASS,
  ...VOTES,
  ...LINES,
  ...STAYS,
];
