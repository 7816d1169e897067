import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import {
  type AgentEvent,
  issueCredential,
  type MidctlError,
  readRecentActivity,
  recordAgentEvents,
} from "../../src/index.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const LEGACY = "at_legacyopen01";

const SPEC = {
  kind: "thread",
  provider: "codex",
  owner: "platform",
  labels: null,
  parent: null,
  expiresIn: null,
  idleTtl: null,
} as const;

describe.each(databases())("events in a host's own tables on $name", (factory) => {
  let database: TestDatabase;
  let mine: string;

  beforeAll(async () => {
    database = await factory.createBare();
    await database.db.transaction((tx) => tx.script(KAN));
    await migrate(database.db);
    mine = await issueIn("one", "t1", "Codex, thread 1");
  });
  afterAll(() => database.dispose());

  /** Issues a credential to a new identity in a workspace; returns `mc_…`. */
  async function issueIn(workspace: string, threadId: string, displayName: string): Promise<string> {
    const { credential } = await database.db.transaction((tx) =>
      issueCredential(tx, {
        identity: { ...SPEC, slug: `codex-${threadId}`, threadId, displayName, workspace },
        actor: "host",
      }),
    );
    return credential.id;
  }

  const record = (...events: AgentEvent[]) => database.db.transaction((tx) => recordAgentEvents(tx, events));

  test("are attributed to the token, the machine identity behind it, and the token's workspace", async () => {
    const [id] = await record({
      token: mine,
      action: "card.move",
      entityType: "card",
      entityId: "c1",
      metadata: { from: "todo", to: "done" },
    });

    const [row] = await database.db.query(
      `SELECT 'ev_' || e."publicId" AS id, w.slug AS workspace, t."publicId" AS token, i.slug AS identity,
              e.action, e."entityType", e."entityId", e.metadata, abs(extract(epoch FROM midctl_now() - e."createdAt")) < 60 AS recent
         FROM agent_audit_event e JOIN workspace w ON w.id = e."workspaceId" JOIN agent_token t ON t.id = e."agentTokenId"
         JOIN machine_identity i ON i.id = e."machineIdentityId" ORDER BY e.id DESC LIMIT 1`,
    );
    expect(row).toEqual({
      id,
      workspace: "one",
      token: mine.slice(3),
      identity: "codex-t1",
      action: "card.move",
      entityType: "card",
      entityId: "c1",
      metadata: '{"from":"todo","to":"done"}',
      recent: true,
    });
  });

  test("are kept in UTC, whatever zone the host's session is in", async () => {
    await database.db.transaction(async (tx) => {
      await tx.query("SET LOCAL TimeZone = 'Pacific/Auckland'");
      await recordAgentEvents(tx, [{ token: mine, action: "zone.test" }]);
    });

    const [row] = await database.db.query(
      `SELECT abs(extract(epoch FROM midctl_now() - "createdAt")) < 60 AS recent FROM agent_audit_event WHERE action = 'zone.test'`,
    );
    expect(row).toEqual({ recent: true });
  });

  test("of several tokens are written in the order given, and shown newest first", async () => {
    const ids = await record(
      { token: mine, action: "first" },
      { token: LEGACY, action: "second" },
      { token: mine, action: "third" },
    );

    const { agentAudit } = await readRecentActivity(database.db, { token: mine, limit: 3 });

    expect(agentAudit.map(({ id }) => id)).toEqual(ids.toReversed());
  });

  test("carry the token's fields and the machine identity's, and prefer its display name", async () => {
    await record({ token: mine, action: "card.move" });

    const { agentAudit } = await readRecentActivity(database.db, { token: LEGACY, limit: 1 });

    expect(agentAudit).toEqual([
      expect.objectContaining({
        action: "card.move",
        displayName: "Codex, thread 1",
        token: expect.objectContaining({ id: `at_${mine.slice(3)}`, name: "codex-t1/default", scopes: [] }),
        machineIdentity: {
          id: expect.stringMatching(/^[0-9A-Za-z]{12}$/),
          slug: "codex-t1",
          displayName: "Codex, thread 1",
          kind: "thread",
          owner: "platform",
          credential: mine,
        },
      }),
    ]);
    expect(agentAudit[0]?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test("of a legacy token go by its own name and have no machine identity", async () => {
    await record({ token: LEGACY, action: "card.read" });

    const { agentAudit } = await readRecentActivity(database.db, { token: mine, limit: 1 });

    expect(agentAudit).toMatchObject([
      { displayName: "open", token: { id: LEGACY, prefix: "kanagent_0001" }, machineIdentity: null },
    ]);
  });

  test("of another workspace are not shown", async () => {
    const elsewhere = await issueIn("two", "t2", "Codex, thread 2");
    await record({ token: elsewhere, action: "secret.plan" });

    const here = await readRecentActivity(database.db, { token: mine, limit: 200 });
    const there = await readRecentActivity(database.db, { token: elsewhere, limit: 200 });

    expect(here.agentAudit.map(({ action }) => action)).not.toContain("secret.plan");
    expect(there.agentAudit.map(({ action }) => action)).toEqual(["secret.plan", "card.move"]);
  });

  test("are paged: each once, the oldest last, whether or not the host deleted their token", async () => {
    const seen: string[] = [];
    let before: string | undefined;
    do {
      const page = await readRecentActivity(database.db, { token: mine, limit: 2, before });
      seen.push(...page.agentAudit.map(({ id }) => id));
      before = page.nextBefore ?? undefined;
    } while (before !== undefined);

    const whole = await readRecentActivity(database.db, { token: mine, limit: 200 });
    expect(seen).toEqual(whole.agentAudit.map(({ id }) => id));
    expect(seen.at(-2)).toBe("ev_legacyevent2");
    expect(whole.agentAudit.at(-2)).toMatchObject({ token: null, displayName: null });
  });

  test("of a host with metadata beyond 16 KiB are shown without it, and say so", async () => {
    const id = await issueIn("two", "t3", "Codex, thread 3");
    const insert = (publicId: string, size: number) =>
      database.db.query(
        `INSERT INTO agent_audit_event ("publicId", "workspaceId", "agentTokenId", action, metadata)
         SELECT $1, "workspaceId", id, 'host', repeat('x', $2) FROM agent_token WHERE "publicId" = $3`,
        [publicId, size, id.slice(3)],
      );
    await insert("hostlarge001", 16 * 1024);
    await insert("hostlarge002", 5_000_000);

    const { agentAudit } = await readRecentActivity(database.db, { token: id, limit: 2 });

    expect(agentAudit).toMatchObject([
      { id: "ev_hostlarge002", metadata: null, metadataLeftOut: 5_000_000 },
      { id: "ev_hostlarge001", metadata: "x".repeat(16 * 1024), metadataLeftOut: null },
    ]);
  });

  test("are shown whatever a host wrote for a token's scopes", async () => {
    await record({ token: LEGACY, action: "odd.scopes" });
    const shownWith = async (scopes: string) => {
      await database.db.query(`UPDATE agent_token SET scopes = $1 WHERE "publicId" = $2`, [
        scopes,
        LEGACY.slice(3),
      ]);
      const { agentAudit } = await readRecentActivity(database.db, { token: mine, limit: 1 });
      return agentAudit[0]?.token?.scopes;
    };

    expect(await shownWith("cards:read")).toEqual([]);
    expect(await shownWith(JSON.stringify(Array.from({ length: 20_000 }, (_, n) => `s${n}`)))).toEqual([]);
    expect(await shownWith('["cards:read"]')).toEqual(["cards:read"]);
  });

  test("cannot be paged from an event of another workspace, which is not even confirmed", async () => {
    const page = (before: string) => readRecentActivity(database.db, { token: mine, limit: 2, before });

    for (const id of ["ev_legacyevent3", "ev_nosuchevent0", "nonsense"]) {
      await expect(page(id)).rejects.toMatchObject({
        code: "usage",
        message: `There is no event "${id}" in this workspace.`,
      });
    }
  });

  test.each([["ev_\u0000"], ["ev_\ud800"], [5], [null], [{}]])(
    "cannot be paged from %j, which is no event's id, and the database is not blamed",
    async (before) => {
      const page = readRecentActivity(database.db, { token: mine, limit: 2, before: before as string });

      await expect(page).rejects.toMatchObject({ code: "usage" });
    },
  );

  test.each([[Number.NaN], ["x"], [undefined], [0], [201], [1.5]])(
    "cannot be asked for by the %j",
    async (limit) => {
      const page = readRecentActivity(database.db, { token: mine, limit: limit as number });

      await expect(page).rejects.toMatchObject({
        code: "usage",
        message: "limit is out of bounds; nothing was read.",
      });
    },
  );

  test("are all written or none: one whose token is not there takes the others with it", async () => {
    const count = async () => {
      const [row] = await database.db.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM agent_audit_event",
      );
      return row?.n;
    };
    const before = await count();

    const refused = recordAgentEvents(database.db, [
      { token: mine, action: "kept" },
      { token: "at_nosuchtoken", action: "lost" },
    ]);

    await expect(refused).rejects.toMatchObject({ code: "not_found" });
    expect(await count()).toBe(before);
  });

  test("are written by the thousand in one statement", async () => {
    const ids = await record(
      ...Array.from({ length: 5_000 }, (_, n) => ({ token: mine, action: "bulk", entityId: `${n}` })),
    );

    expect(new Set(ids).size).toBe(5_000);
  });

  const SECRET = "mid_test_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000";
  test.each<[string, Partial<AgentEvent>]>([
    ["an empty action", { action: "" }],
    ["an action of 65 characters", { action: "x".repeat(65) }],
    ["a control character", { action: "card\u0000move" }],
    ["an entity's type of 33 characters", { entityType: "x".repeat(33) }],
    ["an entity's id of 65 characters", { entityId: "x".repeat(65) }],
    ["a token in the metadata", { metadata: { note: SECRET } }],
    ["a token for an entity", { entityId: SECRET.slice(0, 40) }],
    ["a token in place of its id", { token: SECRET }],
    ["an identity's slug in place of a token", { token: "codex-t1" }],
    ["metadata of more than 16 KiB", { metadata: { long: "x".repeat(16 * 1024) } }],
    ["metadata that is no JSON", { metadata: { big: 1n } }],
  ])("with %s are refused, without echoing it", async (_, event) => {
    const refused = await record({ token: mine, action: "card.move", ...event }).catch(
      (error: MidctlError) => error,
    );

    expect(refused).toMatchObject({ code: "usage" });
    expect(JSON.stringify([(refused as MidctlError).message, (refused as MidctlError).hint])).not.toContain(
      "aaaaaa",
    );
  });
});

describe("an event that does not fit is named by its place", () => {
  const unasked = {
    query: () => {
      throw new Error("a statement was sent");
    },
  };
  const GOOD = { token: LEGACY, action: "card.move" };

  test.each<[string, unknown]>([
    ["no token", {}],
    ["null", null],
    ["a number for an action", { ...GOOD, action: 5 }],
    ["a number for an entity", { ...GOOD, entityId: 5 }],
    ["a number for metadata", { ...GOOD, metadata: 5 }],
    ["metadata that come to nothing", { ...GOOD, metadata: { toJSON: () => undefined } }],
    ["a number for a token", { ...GOOD, token: 5 }],
  ])("%s", async (_, event) => {
    const recorded = recordAgentEvents(unasked, [GOOD, GOOD, event as AgentEvent]);

    await expect(recorded).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/^events\[2\]: /),
    });
  });

  test("a token in place of its id, which came by no argument list", async () => {
    const token = `mid_test_000000000000_${"a".repeat(43)}000000`;

    const recorded = recordAgentEvents(unasked, [{ ...GOOD, token }]);

    await expect(recorded).rejects.toMatchObject({
      code: "usage",
      message: "events[0]: A token is no reference; nothing was done.",
    });
  });

  test.each([[null], [{}], ["x"]])("%j is no list of events", async (events) => {
    await expect(recordAgentEvents(unasked, events as never)).rejects.toMatchObject({ code: "usage" });
  });
});

test("in a stand-alone database, where there are no workspaces, all events are shown", async () => {
  const [factory] = databases();
  const database = await factory?.create();
  if (database === undefined) throw new Error("there is no test server");
  try {
    const { credential } = await database.db.transaction((tx) =>
      issueCredential(tx, {
        identity: { ...SPEC, slug: "codex-a", threadId: "a", displayName: null, workspace: null },
        actor: "host",
      }),
    );
    await recordAgentEvents(database.db, [{ token: credential.id, action: "card.move" }]);

    const { agentAudit } = await readRecentActivity(database.db, { token: credential.id, limit: 10 });

    expect(agentAudit).toMatchObject([{ action: "card.move", machineIdentity: { slug: "codex-a" } }]);
  } finally {
    await database.dispose();
  }
});
