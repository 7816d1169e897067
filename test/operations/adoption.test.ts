import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyAdoption, type PlannedAdoption } from "../../src/operations/adoption-apply.ts";
import { proposeAdoption } from "../../src/operations/adoption-propose.ts";
import { readRecentActivity } from "../../src/operations/agent-events.ts";
import { listAudit } from "../../src/operations/audit-list.ts";
import type { Request } from "../../src/operations/change.ts";
import { readTarget } from "../../src/operations/control.ts";
import { type Adoption, adoptToken } from "../../src/operations/identity-adopt.ts";
import { createIdentity, type IdentitySpec } from "../../src/operations/identity-create.ts";
import { listTokens } from "../../src/operations/list.ts";
import { pauseTarget } from "../../src/operations/pause.ts";
import { revokeTarget } from "../../src/operations/revoke.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { EVERYTHING } from "../support/lists.ts";
import { createKan, giveIdentity, insertToken, secretOf, type TokenColumns } from "./kan-tokens.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "adoption" };

function service(slug: string, more: Partial<IdentitySpec> = {}): IdentitySpec {
  return {
    slug,
    kind: "service",
    provider: null,
    threadId: null,
    owner: "platform",
    displayName: null,
    labels: null,
    parent: null,
    workspace: null,
    expiresIn: null,
    idleTtl: null,
    ...more,
  };
}

/** SPEC §5: `identity adopt`. */
describe.each(databases())("adopting a legacy token on $name", (factory) => {
  let database: TestDatabase;
  let count = 0;

  beforeAll(async () => {
    database = await createKan(factory);
  });
  afterAll(() => database?.dispose());

  const next = (): string => String(++count).padStart(4, "0");
  const token = (columns?: TokenColumns) => insertToken(database.db, `legacytk${next()}`, columns);
  const adopt = (publicId: string, identity: Adoption["identity"], name: string | null = null) =>
    adoptToken(database.db, ALICE, { token: publicId, identity, name });
  const create = async (slug: string, more: Partial<IdentitySpec> = {}) => {
    await createIdentity(database.db, ALICE, service(slug, { workspace: "one", ...more }), {
      ifNotExists: false,
    });
    return slug;
  };
  const rowOf = async (publicId: string) => {
    const [row] = await database.db.query(
      `SELECT id, "tokenHash", scopes, name, "expiresAt"::text AS "expiresAt", "createdAt"::text AS "createdAt", "revokedAt" FROM agent_token WHERE "publicId" = $1`,
      [publicId],
    );
    return row;
  };

  test("makes an identity of the token's name and workspace, and a credential that is born active", async () => {
    const id = await token({ name: "'Codex on laptop'" });

    const adopted = await adopt(id, service("laptop", { labels: { team: "core" } }));

    expect(adopted).toMatchObject({
      changed: true,
      created: true,
      token: `at_${id}`,
      identity: {
        slug: "laptop",
        displayName: "Codex on laptop",
        owner: "platform",
        workspace: "one",
        labels: { team: "core" },
        createdBy: "alice",
      },
      credential: {
        id: `mc_${id}`,
        identity: "laptop",
        name: "default",
        effectiveStatus: "active",
        adopted: true,
        scopes: ["cards:read"],
        issuedBy: "alice",
      },
    });
  });

  test("leaves the row of the token as it was, but for its identity, and the secret good", async () => {
    const id = await token({ expiresAt: "'2099-01-01 00:00:00.123456'" });
    const before = await rowOf(id);

    await adopt(id, service("unchanged"));

    expect(await rowOf(id)).toEqual(before);
    expect(await verifyToken(database.db, secretOf(id), null)).toMatchObject({
      ok: true,
      actor: { kind: "machine_identity", slug: "unchanged" },
      expiresAt: "2099-01-01T00:00:00.123Z",
    });
  });

  test("takes an end of infinity for none", async () => {
    const id = await token({ expiresAt: "'infinity'" });

    expect(await adopt(id, service("endless"))).toMatchObject({ credential: { expiresAt: null } });
    expect(await verifyToken(database.db, secretOf(id), null)).toMatchObject({ ok: true, expiresAt: null });
  });

  test("is logged, with who did it and why", async () => {
    const id = await token();

    await adopt(id, service("logged"));

    const { events } = await listAudit(database.db, { identity: "logged", limit: 10 });
    expect(
      events.map(({ action, credential, actor, reason }) => [action, credential, actor.name, reason]),
    ).toEqual([
      ["credential.adopt", `mc_${id}`, "alice", "adoption"],
      ["identity.create", null, "alice", "adoption"],
    ]);
  });

  test("makes it pausable and revocable as any credential", async () => {
    const id = await token();
    await adopt(id, service("ruled"));

    await pauseTarget(database.db, ALICE, await readTarget(database.db, "ruled"));
    const paused = await verifyToken(database.db, secretOf(id), null);
    await revokeTarget(database.db, ALICE, await readTarget(database.db, `at_${id}`));

    expect(paused).toEqual({ ok: false, code: "identity_paused" });
    expect(await rowOf(id)).toMatchObject({ revokedAt: expect.any(String) });
  });

  test("attributes what it did before, where it is read: the rows stay", async () => {
    const id = await token({ name: "'busy'" });
    await database.db.query(
      `INSERT INTO agent_audit_event ("publicId", "workspaceId", "agentTokenId", action)
       SELECT 'pastevent001', 1, id, 'card.move' FROM agent_token WHERE "publicId" = $1`,
      [id],
    );
    await adopt(id, service("busy"));

    const { events } = await listAudit(database.db, { identity: "busy", action: "card.move", limit: 10 });
    const recent = await readRecentActivity(database.db, { token: `mc_${id}`, limit: 50 });

    expect(events).toMatchObject([
      {
        id: "ev_pastevent001",
        actor: { kind: "machine_identity", name: "busy" },
        machineIdentity: { slug: "busy", displayName: "busy" },
        credential: `mc_${id}`,
      },
    ]);
    expect(recent.agentAudit.find((event) => event.id === "ev_pastevent001")).toMatchObject({
      displayName: "busy",
      machineIdentity: { slug: "busy", credential: `mc_${id}` },
    });
    const stored = await database.db.query(
      `SELECT "machineIdentityId" FROM agent_audit_event WHERE "publicId" = 'pastevent001'`,
    );
    expect(stored).toEqual([{ machineIdentityId: null }]);
  });

  test("may be repeated, and changes nothing then", async () => {
    const id = await token();
    await adopt(id, service("again", { labels: { a: "b" } }));

    expect(await adopt(id, service("again", { labels: { a: "b" } }))).toMatchObject({
      changed: false,
      created: false,
      credential: { id: `mc_${id}` },
    });
  });

  test("may be repeated with other attributes only as a conflict that names them", async () => {
    const id = await token();
    await adopt(id, service("differs"));

    await expect(adopt(id, service("differs", { owner: "others" }))).rejects.toMatchObject({
      code: "conflict",
      details: { differences: ["owner"] },
    });
  });

  test("goes into an identity that exists, under a name of its own", async () => {
    const first = await token();
    const second = await token();
    await adopt(first, service("shared"));

    expect(await adopt(second, "shared", "ci")).toMatchObject({
      changed: true,
      created: false,
      credential: { identity: "shared", name: "ci" },
    });
  });

  test("on a dry run says what it would come to, and leaves nothing", async () => {
    const id = await token();

    const dry = await adoptToken(
      database.db,
      { ...ALICE, dryRun: true },
      { token: id, identity: service("rehearsed"), name: null },
    );

    expect(dry).toMatchObject({ changed: true, credential: { adopted: true } });
    expect(await verifyToken(database.db, secretOf(id), null)).toMatchObject({
      actor: { kind: "legacy_token" },
    });
  });

  describe("is refused for", () => {
    test("a token that is not there", async () => {
      await expect(adopt("nobodyknows1", service("x"))).rejects.toMatchObject({
        code: "not_found",
        message: expect.stringContaining("at_nobodyknows1"),
      });
    });

    test("a mistyped token, with the one that was meant", async () => {
      await insertToken(database.db, "mistyped0001");

      await expect(adopt("mistyped0002", service("x"))).rejects.toMatchObject({
        code: "not_found",
        hint: "Did you mean at_mistyped0001?",
      });
    });

    test.each<[string, TokenColumns, string]>([
      ["one that is revoked", { revokedAt: "now()" }, "is revoked, which is final"],
      ["one that has expired", { expiresAt: "'2020-01-01'" }, "has expired"],
      ["scopes that are no JSON", { scopes: "'cards:read'" }, "no JSON array of strings"],
      ["scopes that are no list", { scopes: `'{"a":1}'` }, "no JSON array of strings"],
      ["scopes that are no text", { scopes: "'[1]'" }, "no JSON array of strings"],
      ["scopes that PostgreSQL cannot hold", { scopes: `'["\\u0000"]'` }, "no JSON array of strings"],
    ])("%s", async (_, columns, message) => {
      const id = await token(columns);

      await expect(adopt(id, service("never"))).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringMatching(`^at_${id} .*${message}; nothing was changed`),
      });
    });

    test("a public id that no credential has", async () => {
      const id = await insertToken(database.db, "short_id");

      await expect(adopt(id, service("never"))).rejects.toThrow("not 12 letters or digits");
    });

    test("a slug that is taken, with the way into that identity", async () => {
      const id = await token();
      await create("taken");

      await expect(adopt(id, service("taken"))).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining("taken exists already"),
        hint: expect.stringContaining("--identity taken"),
      });
    });

    test("another identity than the one that has it, which it names", async () => {
      const id = await token();
      await adopt(id, service("first-owner"));
      await create("second-owner");

      for (const identity of ["second-owner", service("third-owner")]) {
        await expect(adopt(id, identity)).rejects.toMatchObject({
          code: "conflict",
          message: expect.stringContaining(`is mc_${id} of first-owner already`),
        });
      }
    });

    test("an identity of another workspace", async () => {
      const id = await token({ workspaceId: "2" });
      await create("in-one");

      await expect(adopt(id, "in-one")).rejects.toThrow(/of the workspace two and in-one of one/);
      await expect(adopt(id, service("new", { workspace: "one" }))).rejects.toThrow(
        /of the workspace two, not one/,
      );
    });

    test("an identity that has ended", async () => {
      const id = await token();
      await create("ended");
      await revokeTarget(database.db, ALICE, await readTarget(database.db, "ended"));

      await expect(adopt(id, "ended")).rejects.toThrow(/ended is revoked/);
    });

    test("a name that another credential has", async () => {
      const [first, second] = [await token(), await token()];
      await adopt(first, service("full"));

      await expect(adopt(second, "full")).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining(`has the current credential mc_${first} named default already`),
      });
    });
  });

  describe("that has a host's own identity and no credential", () => {
    test("authenticates nobody before, and is its identity's afterwards", async () => {
      const id = await token();
      await create("hosted");
      await giveIdentity(database.db, id, "hosted");
      const before = await verifyToken(database.db, secretOf(id), null);

      const adopted = await adopt(id, "hosted");

      expect(before).toEqual({ ok: false, code: "unknown" });
      expect(adopted).toMatchObject({ changed: true, created: false, identity: { slug: "hosted" } });
      expect(await verifyToken(database.db, secretOf(id), null)).toMatchObject({
        ok: true,
        actor: { slug: "hosted" },
      });
    });

    test("keeps that identity", async () => {
      const id = await token();
      await create("keeper");
      await create("thief");
      await giveIdentity(database.db, id, "keeper");

      for (const identity of ["thief", service("new-thief")]) {
        await expect(adopt(id, identity)).rejects.toThrow(/of the machine identity keeper already/);
      }
    });

    test("is listed as refused, among those that nobody adopted", async () => {
      const id = await token();
      await create("listed");
      await giveIdentity(database.db, id, "listed");
      const page = { limit: 1000, cursor: null, descending: false };

      const legacy = await listTokens(database.db, { ...EVERYTHING, legacyOnly: true }, page);
      const refused = await listTokens(
        database.db,
        { ...EVERYTHING, status: ["refused"], legacyOnly: false },
        page,
      );
      const active = await listTokens(
        database.db,
        { ...EVERYTHING, status: ["active"], legacyOnly: false },
        page,
      );

      const row = { id: `at_${id}`, identity: "listed", credential: null, effectiveStatus: "refused" };
      expect(legacy.tokens).toContainEqual(expect.objectContaining(row));
      expect(refused.tokens).toContainEqual(expect.objectContaining(row));
      expect(active.tokens.map((each) => each.id)).not.toContain(`at_${id}`);
    });
  });

  test("is preceded by a list of what nobody adopted, however odd its scopes", async () => {
    const id = await token({ scopes: "'no JSON'", lastUsedAt: "'2026-05-01 10:00'", workspaceId: "2" });
    const adopted = await token();
    await adopt(adopted, service("not-listed"));

    const { tokens } = await listTokens(
      database.db,
      { ...EVERYTHING, legacyOnly: true },
      { limit: 1000, cursor: null, descending: false },
    );

    expect(tokens).toContainEqual(
      expect.objectContaining({
        id: `at_${id}`,
        legacy: true,
        name: "old bot",
        workspace: "two",
        scopes: [],
        lastUsedAt: "2026-05-01T10:00:00.000Z",
        expiresAt: null,
        effectiveStatus: "active",
      }),
    );
    expect(tokens.map((each) => each.id)).not.toContain(`at_${adopted}`);
  });
});

describe.each(databases())("a plan of adoption on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createKan(factory);
    const { db } = database;
    const ada = "'00000000-0000-4000-8000-00000000000a'";
    await db.query("DELETE FROM agent_token");
    await insertToken(db, "plantoken001", { name: "'Codex on Laptop'", createdBy: ada });
    await insertToken(db, "plantoken002", { name: "'codex: on laptop!'" });
    await insertToken(db, "plantoken003", { name: "'长名字'", workspaceId: "2" });
    await insertToken(db, "plantoken004", { name: "'taken'" });
    await insertToken(db, "plantoken005", { name: "'hosted'" });
    await insertToken(db, "plantoken006", { scopes: "'odd'" });
    await insertToken(db, "plantoken007", { revokedAt: "now()" });
    await insertToken(db, "plantoken008", { expiresAt: "'2020-01-01'" });
    for (const slug of ["taken", "taken-2", "kans-own"]) {
      await createIdentity(db, ALICE, service(slug, { workspace: "one", owner: "kan" }), {
        ifNotExists: false,
      });
    }
    await giveIdentity(db, "plantoken005", "kans-own");
  });
  afterAll(() => database?.dispose());

  /** Proposals as lines, edited as an operator would. */
  async function planned(edit: (line: PlannedAdoption) => Partial<PlannedAdoption> = () => ({})) {
    const { proposals } = await proposeAdoption(database.db, "ops", null);
    return proposals.map((proposal, index): PlannedAdoption => {
      const line = {
        ...proposal,
        line: index + 1,
        token: proposal.token.slice(3),
        credential: proposal.credential ?? "default",
      };
      return { ...line, ...edit(line) };
    });
  }

  const countIdentities = async (): Promise<number> => {
    const [row] = await database.db.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM machine_identity",
    );
    return row?.count ?? 0;
  };

  test("proposes a slug for each token in force: unique, and of the token's name where that is legible", async () => {
    const { proposals, skipped } = await proposeAdoption(database.db, null, null);

    expect(proposals.map(({ token, slug, displayName, owner }) => [token, slug, displayName, owner])).toEqual(
      [
        ["at_plantoken001", "codex-on-laptop", "Codex on Laptop", "ada@example.test"],
        ["at_plantoken002", "codex-on-laptop-2", "codex: on laptop!", ""],
        ["at_plantoken003", "token-plantoken003", "长名字", ""],
        ["at_plantoken004", "taken-3", "taken", ""],
        ["at_plantoken005", "kans-own", "kans-own", "kan"],
      ],
    );
    expect(skipped).toEqual([
      { token: "at_plantoken006", reason: "has scopes that are no JSON array of strings" },
    ]);
  });

  test("proposes for one workspace alone where that is asked for", async () => {
    const { proposals } = await proposeAdoption(database.db, "ops", "two");

    expect(proposals).toMatchObject([{ token: "at_plantoken003", workspace: "two", owner: "ops" }]);
    await expect(proposeAdoption(database.db, null, "three")).rejects.toMatchObject({ code: "not_found" });
  });

  test("that contradicts itself is refused with the numbers of its lines, before the database is asked", async () => {
    const [first, second] = await planned();
    if (first === undefined || second === undefined) throw new Error("no plan");
    const plan = [
      first,
      { ...second, token: first.token },
      { ...second, line: 3, slug: first.slug },
      { ...second, line: 4, token: "plantoken003", slug: first.slug, credential: "b" },
    ];

    await expect(applyAdoption(database.db, ALICE, plan)).rejects.toMatchObject({
      code: "usage",
      details: {
        lines: [
          { line: 2, what: expect.stringContaining("on line 1 already") },
          { line: 3, what: expect.stringContaining("credential named default on line 1") },
          { line: 4, what: expect.stringContaining("is one identity") },
        ],
      },
    });
  });

  test("is applied whole or not at all: lines that cannot be are named", async () => {
    const before = await countIdentities();
    const plan = await planned(({ line }) =>
      line === 2 ? { token: "plantoken007", name: "old bot" } : line === 4 ? { slug: "taken" } : {},
    );

    await expect(applyAdoption(database.db, ALICE, plan)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(
        /^2 of 5 lines cannot be applied; nothing was changed: line 2: .* is revoked/,
      ),
      details: {
        lines: [
          { line: 2, what: expect.stringContaining("is revoked") },
          { line: 4, what: expect.stringContaining("taken exists and differs in owner") },
        ],
      },
    });
    expect(await countIdentities()).toBe(before);
  });

  test.each<[string, Partial<PlannedAdoption>, string]>([
    ["another name than the token's", { name: "renamed" }, `is named "Codex on Laptop" by now`],
    ["another workspace than the token's", { workspace: "two" }, "is of the workspace one"],
    ["a token that is not there", { token: "nobodyknows1" }, "there is no agent token at_nobodyknows1"],
  ])("is refused for %s", async (_, edit, what) => {
    const plan = await planned(({ line }) => (line === 1 ? edit : {}));

    await expect(applyAdoption(database.db, ALICE, plan)).rejects.toMatchObject({
      code: "conflict",
      details: { lines: [{ line: 1, what: expect.stringContaining(what) }] },
    });
  });

  test("on a dry run comes to the same and leaves nothing", async () => {
    const before = await countIdentities();

    const applied = await applyAdoption(database.db, { ...ALICE, dryRun: true }, await planned());

    expect(applied).toMatchObject({ adopted: 5, created: 4 });
    expect(await countIdentities()).toBe(before);
  });

  test("gives every token its identity, and repeated changes nothing", async () => {
    const plan = await planned(({ line }) =>
      line === 1 ? { slug: "chosen", labels: { team: "core" } } : {},
    );

    const applied = await applyAdoption(database.db, ALICE, plan);
    const repeated = await applyAdoption(database.db, ALICE, plan);

    expect(applied).toMatchObject({ adopted: 5, unchanged: 0, created: 4 });
    expect(repeated).toMatchObject({ adopted: 0, unchanged: 5, created: 0 });
    expect(await verifyToken(database.db, secretOf("plantoken001"), null)).toMatchObject({
      ok: true,
      identity: {
        slug: "chosen",
        labels: { team: "core" },
        workspace: "one",
        displayName: "Codex on Laptop",
      },
    });
    expect(await verifyToken(database.db, secretOf("plantoken005"), null)).toMatchObject({
      actor: { slug: "kans-own" },
    });
    expect(await proposeAdoption(database.db, null, null)).toMatchObject({ proposals: [] });
  });

  test("may join several tokens under one identity, by the names of their credentials", async () => {
    await insertToken(database.db, "plantoken010", { name: "'twin'" });
    await insertToken(database.db, "plantoken011", { name: "'twin'" });
    const plan = await planned(({ line }) => ({
      slug: "twin",
      credential: line === 1 ? "default" : "other",
    }));

    expect(await applyAdoption(database.db, ALICE, plan)).toMatchObject({ adopted: 2, created: 1 });
  });
});

describe.each(postgresDatabases())("two operators on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createKan(factory);
  });
  afterAll(() => database?.dispose());

  test("who adopt one token alike both succeed, and one of them changed something", async () => {
    const id = await insertToken(database.db, "racetoken001");

    const outcomes = await Promise.all(
      [1, 2, 3].map(() =>
        adoptToken(database.db, ALICE, { token: id, identity: service("raced"), name: null }),
      ),
    );

    expect(outcomes.filter(({ changed }) => changed)).toHaveLength(1);
  });

  test("who adopt it differently leave it with one, and the other is told which", async () => {
    const id = await insertToken(database.db, "racetoken002");

    const outcomes = await Promise.allSettled(
      ["left", "right"].map((slug) =>
        adoptToken(database.db, ALICE, { token: id, identity: service(slug), name: null }),
      ),
    );

    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { code: "conflict", message: expect.stringContaining(`is mc_${id} of`) },
    });
  });
});
