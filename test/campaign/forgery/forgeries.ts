import { hash as digest, randomBytes } from "node:crypto";
import { commitToHash, NAMESPACES, type VoteKind } from "../../../src/domain/plan.ts";
import { createPublicId, type Token } from "../../../src/domain/token.ts";
import { issueCredential } from "../../../src/index.ts";
import { type Plan, type PlanLine, writePlan } from "../../../src/operations/approval/plan.ts";
import {
  carryOut,
  castVote,
  draftNewToken,
  openRequest,
  type PlantedVote,
  plantPlan,
  type Signing,
  type Written,
  writePlanOf,
} from "../../support/trust.ts";
import type { Random } from "../random.ts";
import type { Court, Victim } from "./court.ts";
import {
  makeThief,
  plantBeside,
  plantLegacy,
  plantToken,
  readPlanted,
  type Statement,
  sabotage,
  uproot,
} from "./rows.ts";

/** What was forged, and how it is presented. */
export interface Forged {
  readonly token: string;
  /** Whose token that is, where it is an honest one: it may be answered with what was signed. null: never. */
  readonly holder: Victim | null;
  /** Whether a verifier that has seen nothing must refuse even the honest holder, since the row is another. */
  readonly strict?: boolean;
  /** Puts right again what others need. */
  readonly undo?: () => Promise<void>;
}

export interface Forgery {
  readonly name: string;
  make(court: Court, random: Random, other: Court): Promise<Forged>;
}

type Edit = (plan: Plan, victim: Victim, thief: Token) => Plan;
type Votes = (scene: {
  readonly court: Court;
  readonly written: Written;
  readonly victim: Victim;
  readonly random: Random;
}) => Promise<readonly PlantedVote[]> | readonly PlantedVote[];

const WIDE = ["cards:*", "deploy:*"];

const same = (plan: Plan): Plan => plan;

/**
 * A token of the attacker's with rows beside a victim's, and a plan that names it, edited so and with these votes under it.
 * Everything that the database can be made to say, it says.
 */
function mint(name: string, votes: Votes, edit: Edit = same): Forgery {
  return {
    name,
    async make(court, random) {
      const victim = await court.victim();
      const thief = makeThief();
      const plan = edit(planFor(victim, thief), victim, thief);
      const written = { plan, ...writePlan(plan), hashes: [thief.hash] };
      await plantPlan(court.db, written, await votes({ court, written, victim, random }));
      await plantBeside(court, victim, thief);
      return { token: thief.text, holder: null };
    },
  };
}

/** The victim's plan anew, with one line: that of the thief's token on the victim's identity. */
function planFor({ written, line }: Victim, thief: Token): Plan {
  const model = written.plan.lines[line] as PlanLine & { readonly do: "credential.issue" };
  return {
    ...written.plan,
    id: `ap_${createPublicId(randomBytes)}`,
    nonce: randomBytes(16).toString("hex"),
    lines: [
      {
        ...model,
        credential: { id: `mc_${thief.publicId}`, version: null },
        token: { ...model.token, secret: commitToHash(thief.hash) },
      },
    ],
  };
}

/** A vote as somebody's key makes it, under whatever name. */
function vote(
  court: Court,
  kind: VoteKind,
  by: Signing,
  text: string,
  { namespace = NAMESPACES[kind] as string, principal = typeof by === "string" ? by : by[0] } = {},
): PlantedVote {
  return { kind, principal, signature: court.desk.sign(by, text, namespace) };
}

/** Requested as it should be, and approved by these: as many as the court asks for, at least. */
function approvedBy(...by: readonly Signing[]): Votes {
  return ({ court, written: { text } }) => [
    vote(court, "request", "alice", text),
    ...by.map((signer, at) =>
      vote(court, "approval", signer, text, { principal: ["bob", "carol", "dave"][at] ?? "bob" }),
    ),
  ];
}

/** Who would lack nothing but this, where two must agree. */
const beside = (court: Court, ...by: readonly Signing[]): readonly Signing[] =>
  court.approvers.length > 1 ? [...by, "carol"] : by;

const insufficient: readonly Forgery[] = [
  mint("no signature at all", () => []),
  mint("self-approved", approvedBy("alice", ["alice", 1])),
  mint("self-approved beside others' names", ({ court, written: { text } }) => [
    vote(court, "request", "alice", text),
    vote(court, "approval", ["alice", 1], text, { principal: "bob" }),
    ...(court.approvers.length > 1 ? [vote(court, "approval", "carol", text)] : []),
  ]),
  mint("one person, two keys", ({ court, written: { text } }) => {
    const one = court.approvers.length > 1 ? "bob" : "alice";
    return [
      vote(court, "request", "alice", text),
      vote(court, "approval", one, text, { principal: "bob" }),
      vote(court, "approval", [one, 1], text, { principal: "carol" }),
    ];
  }),
  mint("one vote, many rows", ({ court, written: { text } }) => {
    const votes = [vote(court, "request", "alice", text)];
    if (court.approvers.length === 1) votes.push(vote(court, "approval", "alice", text));
    else votes.push(vote(court, "approval", "bob", text));
    const last = votes.at(-1) as PlantedVote;
    return [...votes, ...["carol", "dave"].map((principal) => ({ ...last, principal }))];
  }),
  mint(
    "requested in another's name",
    ({ court, written: { text }, random }) => [
      ...(random.chance(0.5) ? [vote(court, "request", "alice", text, { principal: "bob" })] : []),
      vote(court, "approval", "alice", text),
      vote(court, "approval", "carol", text),
    ],
    (plan) => ({ ...plan, requester: "bob" }),
  ),
  mint("requested unsigned", ({ court, written: { text } }) =>
    ["bob", "carol"].map((by) => vote(court, "approval", by, text)),
  ),
  mint("signed by strangers", approvedBy("mallory", "trudy", ["mallory", 1])),
  mint("valid-before in the past", (scene) => approvedBy(...beside(scene.court, "gone"))(scene)),
  mint("valid-after in the future", (scene) => approvedBy(...beside(scene.court, "early"))(scene)),
  mint("a revoked key", (scene) => approvedBy(...beside(scene.court, "stolen"))(scene)),
  mint("a key for requests alone", (scene) => approvedBy(...beside(scene.court, "asker"))(scene)),
  mint("a rejection taken for an approval", ({ court, written: { text } }) => [
    vote(court, "request", "alice", text),
    ...["bob", "carol"].map((by) => vote(court, "approval", by, text, { namespace: NAMESPACES.rejection })),
  ]),
  mint("a request taken for an approval", ({ court, written: { text }, random }) => [
    vote(court, "request", "alice", text),
    ...["bob", "carol"].map((by) =>
      vote(court, "approval", by, text, {
        namespace: random.pick([NAMESPACES.request, "file", "git", "midctl-approval@v2"]),
      }),
    ),
  ]),
  mint("an approval taken for the request", ({ court, written: { text } }) => [
    vote(court, "request", "alice", text, { namespace: NAMESPACES.approval }),
    ...["bob", "carol"].map((by) => vote(court, "approval", by, text)),
  ]),
  mint("votes of another plan copied", ({ court, victim }) => readPlanted(court.db, victim.written.digest)),
  mint("break-glass with a token", approvedBy("bob", "carol"), (plan, _, thief) => ({
    ...plan,
    breakGlass: { ticket: `INC-${thief.publicId}` },
  })),
  mint("a plan of a database not named", approvedBy("bob", "carol"), (plan) => ({
    ...plan,
    environment: { ...plan.environment, databaseId: "00000000-0000-4000-8000-000000000000" },
  })),
];

/** The victim's own plan, one thing in it edited, its digest made anew and the old signatures under it. */
type Change = (line: PlanLine, thief: Token) => PlanLine;
const EDITS: Readonly<Record<string, { readonly change: Change; readonly row: string | null }>> = {
  scopes: {
    change: (line) => ({ ...line, token: line.token && { ...line.token, scopes: WIDE } }) as PlanLine,
    row: `UPDATE machine_identity_credential SET scopes = '["cards:*","deploy:*"]' WHERE "publicId" = $1`,
  },
  notAfter: {
    change: (line) =>
      ({ ...line, token: line.token && { ...line.token, notAfter: "2099-01-01T00:00:00.000Z" } }) as PlanLine,
    row: `UPDATE machine_identity_credential SET "expiresAt" = '2098-01-01' WHERE "publicId" = $1`,
  },
  secret: { change: coverThief, row: null },
  identity: {
    change: (line) =>
      ({
        ...line,
        identity: line.identity && { ...line.identity, slug: `${line.identity.slug}-2` },
      }) as PlanLine,
    row: `UPDATE machine_identity i SET slug = i.slug || '-2' FROM machine_identity_credential c
           WHERE c."machineIdentityId" = i.id AND c."publicId" = $1`,
  },
};

function coverThief(line: PlanLine, thief: Token): PlanLine {
  return {
    ...line,
    credential: { id: `mc_${thief.publicId}`, version: null },
    token: line.token && { ...line.token, secret: commitToHash(thief.hash) },
  } as PlanLine;
}

/** A request under another digest. */
const renamed = (from: string, to: string): Statement => [
  `UPDATE midctl_approval SET digest = $2 WHERE digest = $1`,
  ...[from, to],
];

/** What the database says a victim's line is committed to. */
const pointedAt = (victim: Victim, secret: string): Statement => [
  `UPDATE midctl_approval_line SET secret = $2 WHERE credential = $1`,
  ...[victim.publicId, secret],
];

function edited(name: string): Forgery {
  const { change, row } = EDITS[name] as (typeof EDITS)[string];
  return {
    name: `plan edited: ${name}`,
    async make(court, random) {
      const victim = await court.victim();
      const thief = makeThief();
      const { written } = victim;
      const lines = written.plan.lines.map((line, at) => (at === victim.line ? change(line, thief) : line));
      const plan = { ...written.plan, lines };
      const forged = { ...written, plan, ...writePlan(plan) };
      const own = name === "secret";
      const votes = await readPlanted(court.db, written.digest);
      const beside = random.chance(0.5);
      if (beside) {
        // Beside the plan that was signed, or …
        const aside = { ...plan, id: `ap_${createPublicId(randomBytes)}` };
        await plantPlan(
          court.db,
          { ...written, plan: aside, text: forged.text, digest: forged.digest },
          votes,
        );
      } else {
        // … in its place; the votes hang on the request, which stays.
        await sabotage(
          court.db,
          [`INSERT INTO midctl_plan (digest, plan) VALUES ($1, $2)`, forged.digest, forged.text],
          renamed(written.digest, forged.digest),
          pointedAt(victim, plan.lines[victim.line]?.token?.secret ?? ""),
        );
      }
      if (own) await plantBeside(court, victim, thief);
      if (row !== null) await sabotage(court.db, [row, victim.publicId]);
      const undo = async (): Promise<void> => {
        if (!beside) await sabotage(court.db, renamed(forged.digest, written.digest));
      };
      return own ? { token: thief.text, holder: null, undo } : { token: victim.token, holder: victim, undo };
    },
  };
}

/** An honest token whose row says more than was signed. */
function tampered(name: string, statements: readonly string[], strict = true): Forgery {
  return {
    name,
    async make(court) {
      const victim = await court.victim();
      await sabotage(court.db, ...statements.map((text): Statement => [text, victim.publicId]));
      return { token: victim.token, holder: victim, strict };
    },
  };
}

const rows: readonly Forgery[] = [
  {
    name: "rows copied, own hash",
    async make(court) {
      const victim = await court.victim();
      const thief = makeThief();
      await plantBeside(court, victim, thief);
      return { token: thief.text, holder: null };
    },
  },
  {
    name: "own hash in an approved row",
    async make(court, random) {
      const victim = await court.victim();
      const thief = makeThief("live", victim.publicId);
      await sabotage(
        court.db,
        ...["machine_identity_credential", "agent_token"].map(
          (table): Statement => [
            `UPDATE ${table} SET "tokenHash" = $2 WHERE "publicId" = $1`,
            ...[victim.publicId, thief.hash],
          ],
        ),
        // The index may say so as well: the plan says otherwise.
        ...(random.chance(0.5) ? [pointedAt(victim, commitToHash(thief.hash))] : []),
      );
      return { token: thief.text, holder: null };
    },
  },
  {
    name: "line pointed at own token",
    async make(court) {
      const victim = await court.victim();
      const thief = makeThief();
      await plantBeside(court, victim, thief);
      await sabotage(court.db, pointedAt(victim, commitToHash(thief.hash)));
      return { token: thief.text, holder: null };
    },
  },
  {
    name: "digests swapped",
    async make(court) {
      const victim = await court.victim();
      const thief = makeThief();
      const plan = planFor(victim, thief);
      const forged = { plan, ...writePlan(plan), hashes: [thief.hash] };
      await plantPlan(court.db, forged, []);
      await plantBeside(court, victim, thief);
      const swap = swapped(victim.written.digest, forged.digest);
      await sabotage(court.db, swap, pointedAt(victim, commitToHash(thief.hash)));
      return { token: thief.text, holder: null, undo: () => sabotage(court.db, swap) };
    },
  },
  {
    name: "text of a plan under another's digest",
    async make(court) {
      const victim = await court.victim();
      const thief = makeThief();
      const plan = planFor(victim, thief);
      const { text } = writePlan(plan);
      await plantBeside(court, victim, thief);
      const { written } = victim;
      const says = (plan: string): Statement => [
        `UPDATE midctl_plan SET plan = $2 WHERE digest = $1`,
        ...[written.digest, plan],
      ];
      await sabotage(court.db, says(text), pointedAt(victim, commitToHash(thief.hash)));
      return { token: thief.text, holder: null, undo: () => sabotage(court.db, says(written.text)) };
    },
  },
  tampered("scopes widened", [
    `UPDATE machine_identity_credential SET scopes = '["cards:*"]' WHERE "publicId" = $1`,
    `UPDATE agent_token SET scopes = '["cards:*"]' WHERE "publicId" = $1`,
  ]),
  tampered("moved to another identity", [
    ...["machine_identity_credential", "agent_token"].map(
      (table) =>
        `UPDATE ${table} SET "machineIdentityId" = (SELECT min(id) FROM machine_identity) WHERE "publicId" = $1`,
    ),
  ]),
  tampered("identity under another name", [
    `UPDATE machine_identity i SET slug = i.slug || '-root' FROM machine_identity_credential c
      WHERE c."machineIdentityId" = i.id AND c."publicId" = $1`,
  ]),
  tampered("issued after its time", [
    `UPDATE machine_identity_credential SET "issuedAt" = "issuedAt" + interval '1 day', "activationDeadline" = "activationDeadline" + interval '1 day' WHERE "publicId" = $1`,
  ]),
  tampered(
    "end put off",
    [
      `UPDATE machine_identity_credential SET "expiresAt" = NULL WHERE "publicId" = $1`,
      `UPDATE agent_token SET "expiresAt" = NULL WHERE "publicId" = $1`,
    ],
    false,
  ),
  {
    name: "expired, row lives on",
    async make(court) {
      const victim = await court.lapsed();
      await sabotage(
        court.db,
        ...["machine_identity_credential", "agent_token"].map(
          (table): Statement => [
            `UPDATE ${table} SET "expiresAt" = NULL WHERE "publicId" = $1`,
            victim.publicId,
          ],
        ),
      );
      await court.passed(victim.notAfter);
      return { token: victim.token, holder: null };
    },
  },
  {
    name: "`test` token inserted",
    async make(court) {
      const victim = await court.victim();
      const thief = makeThief("test");
      await plantBeside(court, victim, thief);
      return { token: thief.text, holder: null };
    },
  },
  {
    name: "legacy token inserted",
    async make(court, random) {
      const text = `kanagent_${randomBytes(12).toString("hex")}`;
      const hash = digest("sha256", text, "hex");
      if (random.chance(0.5)) await plantLegacy(court.db, hash);
      else {
        // In the row of an approved one, whose credential goes.
        const victim = await court.victim();
        await sabotage(
          court.db,
          [`DELETE FROM machine_identity_credential WHERE "publicId" = $1`, victim.publicId],
          [
            `UPDATE agent_token SET "machineIdentityId" = NULL, "tokenHash" = $2 WHERE "publicId" = $1`,
            ...[victim.publicId, hash],
          ],
          pointedAt(victim, commitToHash(hash)),
        );
      }
      return { token: text, holder: null };
    },
  },
];

/** What has the database carry a plan out itself, which it takes for approved. */
const requests: readonly Forgery[] = [
  {
    name: "pending request marked approved",
    async make(court) {
      const { token, written } = await askForToken(court);
      await castVote(court.db, court.desk, written, "request", "alice");
      await sabotage(court.db, [
        `UPDATE midctl_approval SET status = 'approved' WHERE digest = $1`,
        written.digest,
      ]);
      await carryOut(court.db, written);
      return { token, holder: null };
    },
  },
  {
    name: "quorum lowered, or votes under false names",
    async make(court, random) {
      const { token, written } = await askForToken(court);
      await castVote(court.db, court.desk, written, "request", "alice");
      const honest = court.approvers.length > 1 && random.chance(0.5);
      const by = honest ? "bob" : "alice";
      await castVote(court.db, court.desk, written, "approval", by, { principal: "bob" });
      await carryOut(court.db, written);
      return { token, holder: null };
    },
  },
];

async function askForToken(court: Court): Promise<{ readonly token: string; readonly written: Written }> {
  const slug = `asked-${randomBytes(6).toString("hex")}`;
  const { token, draft } = await draftNewToken(court.db, slug);
  const written = await writePlanOf(court.db, [draft]);
  await openRequest(court.db, written, 1);
  return { token, written };
}

/** Everything of an honest token of one database written into the other, whose people are the same. */
function replayed(name: string, edit: (plan: Plan, court: Court) => Plan): Forgery {
  return {
    name,
    async make(court, _, other) {
      const victim = await other.victim();
      const votes = await readPlanted(other.db, victim.written.digest);
      const plan = edit(victim.written.plan, court);
      const { slug, publicId, scopes } = victim;
      const aside = { ...plan, id: `ap_${createPublicId(randomBytes)}` };
      const written = writePlan(plan);
      await plantPlan(court.db, { ...victim.written, plan: aside, ...written }, votes);
      // The same names are taken here by others: they give way.
      const away = `${slug}-away`;
      await sabotage(court.db, [`UPDATE machine_identity SET slug = $2 WHERE slug = $1`, slug, away]);
      const identity = victim.written.plan.lines[victim.line]?.identity?.publicId ?? "";
      await plantToken(court.db, { slug, identity, publicId, scopes, hash: await hashOf(other, publicId) });
      return {
        token: victim.token,
        holder: null,
        undo: async () => {
          await uproot(court.db, written.digest);
          await sabotage(
            court.db,
            [`UPDATE machine_identity SET slug = slug || '-replayed-' || id WHERE slug = $1`, slug],
            [`UPDATE machine_identity SET slug = $1 WHERE slug = $2`, slug, away],
          );
        },
      };
    },
  };
}

async function hashOf(court: Court, publicId: string): Promise<string> {
  const [row] = await court.db.query<{ tokenHash: string }>(
    `SELECT "tokenHash" FROM agent_token WHERE "publicId" = $1`,
    [publicId],
  );
  return row?.tokenHash ?? "";
}

const swapped = (one: string, other: string): Statement => [
  `UPDATE midctl_approval SET digest = CASE digest WHEN $1 THEN $2 ELSE $1 END WHERE digest IN ($1, $2)`,
  ...[one, other],
];

/** The environment says that nothing needs an approval, and so the guards let everything pass. */
const flips: readonly Forgery[] = [
  ["environment unprotected", "protected = false"],
  ["environment not live", "live = false, protected = false"],
  ["environment of another name", "name = 'staging', protected = false"],
  ["environment of another id", `"databaseId" = gen_random_uuid(), protected = false`],
].map(([name, assignment]) => ({
  name: name as string,
  async make(court: Court) {
    const [before] = await court.db.query<{ name: string; databaseId: string }>(
      `SELECT name, "databaseId" FROM midctl_environment`,
    );
    await sabotage(court.db, [`UPDATE midctl_environment SET ${assignment}`]);
    const { token } = await court.db.transaction((tx) =>
      issueCredential(tx, {
        identity: { slug: `free-${randomBytes(6).toString("hex")}`, owner: "mallory" },
        ...{ actor: "mallory", scopes: ["cards:*"] },
      }),
    );
    return {
      token,
      holder: null,
      undo: () =>
        sabotage(court.db, [
          `UPDATE midctl_environment SET live = true, protected = true, name = $1, "databaseId" = $2`,
          ...[before?.name ?? "", before?.databaseId ?? ""],
        ]),
    };
  },
}));

export const FORGERIES: readonly Forgery[] = [
  ...rows,
  ...Object.keys(EDITS).map(edited),
  ...insufficient,
  ...requests,
  replayed("replayed in another database", same),
  replayed("replayed, database id edited", (plan, court) => ({
    ...plan,
    environment: { ...plan.environment, databaseId: court.databaseId },
  })),
  ...flips,
];
