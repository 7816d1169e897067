import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/index.ts";
import { recordAgentEvents } from "../../src/operations/agent-events.ts";
import { postgresDatabases } from "../support/databases.ts";
import { insertLegacyInto } from "./kan.ts";
import { openStage, type Stage, seenOf, sendRaw } from "./stage.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

let stage: Stage;
let one: { token: string; id: string };
let two: { token: string; id: string };

/** In a host's database with two workspaces. */
beforeAll(async () => {
  const database = await postgresDatabases()[0]?.createBare();
  if (database === undefined) throw new Error("no PostgreSQL server");
  await database.db.transaction((tx) => tx.script(KAN));
  await migrate(database.db);
  stage = await openStage({ database, limits: { answer: 2_000 } });
  one = await stage.issue("codex-1", {
    identity: {
      kind: "thread",
      provider: "codex",
      threadId: "1",
      displayName: "Codex one",
      workspace: "one",
    },
  });
  two = await stage.issue("codex-2", {
    identity: {
      kind: "thread",
      provider: "codex",
      threadId: "2",
      displayName: "Codex two",
      workspace: "two",
    },
  });
});
afterAll(() => stage.dispose());

/** The SDK's own client, with this bearer. */
async function connect(token: string): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(`${stage.url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  onTestFinished(() => client.close());
  return client;
}

type Activity = { agentAudit: Record<string, unknown>[]; nextBefore: string | null };

async function activity(client: Client, words: Record<string, unknown> = {}): Promise<Activity> {
  const result = await client.callTool({ name: "get_recent_activity", arguments: words });
  expect(result.isError, JSON.stringify(result.content)).not.toBe(true);
  return result.structuredContent as Activity;
}

const HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const post = (body: unknown, token: string | null = one.token, headers: Record<string, string> = {}) =>
  stage.ask("/mcp", token, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { ...HEADERS, ...headers },
  });
/** A JSON-RPC answer. */
const read = async (response: Response) => (await response.json()) as { id: unknown; result: unknown };
const CALL = {
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "get_recent_activity", arguments: {} },
};

describe("the SDK's own client over Streamable HTTP", () => {
  test("finds the one tool, described", async () => {
    const { tools } = await (await connect(one.token)).listTools();

    expect(tools).toMatchObject([
      {
        name: "get_recent_activity",
        annotations: { readOnlyHint: true },
        inputSchema: { type: "object", properties: { limit: { maximum: 200 } } },
        outputSchema: { type: "object", properties: { agentAudit: { type: "array" } } },
      },
    ]);
  });

  test("gets events that carry the machine identity's fields beside the token's, and its display name", async () => {
    const [id] = await recordAgentEvents(stage.db, [
      { token: one.id, action: "card.move", entityType: "card", entityId: "c1", metadata: { to: "done" } },
    ]);

    const { agentAudit } = await activity(await connect(one.token), { limit: 1 });

    const [identity] = await stage.db.query<{ publicId: string }>(
      `SELECT "publicId" FROM machine_identity WHERE slug = 'codex-1'`,
    );
    expect(agentAudit).toEqual([
      {
        id,
        at: expect.stringMatching(/Z$/),
        action: "card.move",
        entityType: "card",
        entityId: "c1",
        metadata: '{"to":"done"}',
        metadataLeftOut: null,
        displayName: "Codex one",
        token: expect.objectContaining({
          id: `at_${one.id.slice(3)}`,
          name: "codex-1/default",
          revokedAt: null,
        }),
        machineIdentity: {
          id: identity?.publicId,
          slug: "codex-1",
          displayName: "Codex one",
          kind: "thread",
          owner: "platform",
          credential: one.id,
        },
      },
    ]);
  });

  test("sees its own workspace and no other", async () => {
    await recordAgentEvents(stage.db, [{ token: two.id, action: "secret.plan" }]);

    const [mine, theirs] = [
      await activity(await connect(one.token)),
      await activity(await connect(two.token)),
    ];

    expect(mine.agentAudit.map(({ action }) => action)).not.toContain("secret.plan");
    expect(theirs.agentAudit.map(({ action }) => action)).toContain("secret.plan");
  });

  test("pages back to the oldest", async () => {
    await recordAgentEvents(stage.db, [
      { token: one.id, action: "a" },
      { token: one.id, action: "b" },
      { token: one.id, action: "c" },
    ]);
    const client = await connect(one.token);

    const first = await activity(client, { limit: 2 });
    const second = await activity(client, { limit: 1, before: first.nextBefore });

    expect([...first.agentAudit, ...second.agentAudit].map(({ action }) => action)).toEqual(["c", "b", "a"]);
  });

  test("may have a legacy token", async () => {
    const legacy = await insertLegacyInto(stage.db, "one", "legacymcp001");

    const { agentAudit } = await activity(await connect(legacy), { limit: 200 });

    expect(agentAudit.map(({ id }) => id)).toContain("ev_legacyevent1");
  });

  test("is told what is wrong with its arguments, and nothing of other workspaces", async () => {
    const client = await connect(one.token);
    const ask = (words: Record<string, unknown>) =>
      client.callTool({ name: "get_recent_activity", arguments: words });

    expect(await ask({ before: "ev_legacyevent3" })).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining('no event "ev_legacyevent3" in this workspace') }],
    });
    for (const limit of [0, 201, 1.5, "many"]) expect((await ask({ limit })).isError).toBe(true);
  });

  test.each(["kanagent_unknown", "mid_test_x"])("is not let in with %s", async (token) => {
    await expect(connect(token)).rejects.toThrow(/401|unauthorized/i);
  });

  test("is refused at its next request once the identity is paused", async () => {
    const { token } = await stage.issue("codex-3", {
      identity: { kind: "thread", provider: "codex", threadId: "3", workspace: "one" },
    });
    const client = await connect(token);
    await activity(client);

    await stage.db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'codex-3'");

    // Hand-written SQL does not wait for verifiers: they hear of it within a moment.
    await expect
      .poll(() => client.listTools().then(() => "let in", String), { timeout: 10_000 })
      .toMatch(/401|unauthorized/i);
  });
});

describe("/mcp", () => {
  test.each(["GET", "POST", "DELETE"])("answers %s without a token with the uniform 401", async (method) => {
    const seen = await seenOf(await stage.ask("/mcp", null, { method }));

    expect(seen).toEqual(await seenOf(await stage.ask("/auth")));
  });

  test.each(["GET", "DELETE", "PUT"])("has no session to %s", async (method) => {
    const response = await stage.ask("/mcp", one.token, { method, headers: HEADERS });

    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test.each([
    ["no JSON", "{", 400, -32700],
    ["no JSON-RPC", { hello: 1 }, 400, -32700],
    ["a number", 7, 400, -32700],
    ["bytes", "\0\xff", 400, -32700],
    ["200 levels of nothing", `${"[".repeat(200)}${"]".repeat(200)}`, 400, -32700],
  ])("answers %s with an error of the protocol", async (_, body, status, code) => {
    const response = await post(body);
    const text = await response.text();

    expect(response.status).toBe(status);
    expect(JSON.parse(text)).toMatchObject({ error: { code } });
    expect(text).not.toMatch(/node_modules|\.js:\d+/);
  });

  test.each([
    ["another content type", { "content-type": "text/plain" }, 415],
    ["a client that takes no JSON", { accept: "text/html" }, 406],
    ["a page of a browser", { origin: "https://evil.example" }, 403],
  ])("refuses %s", async (_, headers, status) => {
    expect((await post(CALL, one.token, headers)).status).toBe(status);
  });

  test.each(["http://localhost:6274", "http://127.0.0.1", "http://[::1]:80"])(
    "takes a page of this machine, such as an inspector: %s",
    async (origin) => {
      expect((await post(CALL, one.token, { origin })).status).toBe(200);
    },
  );

  test("refuses 64 KiB and more, told beforehand or not", async () => {
    const told = await post({ ...CALL, padding: "x".repeat(64 * 1024) });
    const chunk = `${(8192).toString(16)}\r\n${"x".repeat(8192)}\r\n`;
    const untold = await sendRaw(
      stage.port,
      `POST /mcp HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${one.token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(10)}`,
    );

    expect([told.status, untold.status]).toEqual([413, 413]);
  });

  test("answers several requests of a token at once, each by itself", async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (_, id) => await read(await post({ ...CALL, id }))),
    );

    expect(answers.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("refuses a batch of requests, which could ask for a hundred times as much", async () => {
    const response = await post([CALL, { ...CALL, id: 2 }]);

    expect([response.status, await response.json()]).toEqual([
      400,
      { jsonrpc: "2.0", error: { code: -32600, message: "A body is to hold one request" }, id: null },
    ]);
  });

  describe("while the database is slow", () => {
    /** Until `release`, whoever reads events waits. */
    async function holdEvents() {
      const other = openPostgres({ url: stage.database.url ?? "" }, { max: 1 });
      await other.query("BEGIN");
      await other.query("LOCK TABLE agent_audit_event");
      onTestFinished(() => other.close());
      return { release: () => other.query("COMMIT") };
    }

    const refusalIn = async (answers: Promise<Response>[]) => {
      const response = await Promise.race(answers);
      return [response.status, response.headers.get("retry-after"), await response.json()];
    };
    const count = async (answers: Promise<Response>[], status: number) =>
      (await Promise.all(answers)).filter((answer) => answer.status === status).length;

    test("takes eight requests of a token and no more: 429, while others and /auth are served", async () => {
      await stage.ask("/auth", one.token);
      const { release } = await holdEvents();

      const mine = Array.from({ length: 9 }, () => post(CALL));
      expect(await refusalIn(mine)).toEqual([429, "1", { error: "too_many_requests" }]);
      const others = post(CALL, two.token);
      const auth = await stage.ask("/auth", one.token);
      await release();

      expect([auth.status, (await others).status]).toEqual([200, 200]);
      expect(await count(mine, 200)).toBe(8);
    });

    test("takes 32 requests of all tokens and no more: 503, and /auth is served", async () => {
      const tokens = await Promise.all(
        ["a", "b", "c", "d", "e"].map(
          async (name) => (await stage.issue(`crowd-${name}`, { identity: { workspace: "one" } })).token,
        ),
      );
      for (const token of tokens) await stage.ask("/auth", token);
      const { release } = await holdEvents();

      const crowd = tokens.flatMap((token) => Array.from({ length: 7 }, () => post(CALL, token)));
      expect(await refusalIn(crowd)).toEqual([503, "1", { error: "busy" }]);
      const auth = await stage.ask("/auth", tokens[0]);
      await release();

      expect(auth.status).toBe(200);
      expect(await count(crowd, 200)).toBe(crowd.length - (await count(crowd, 503)));
      expect((await post(CALL, tokens[0])).status).toBe(200);
    });
  });

  test("answers with less than 1 MiB whatever a host's events hold, and goes on on the next page", async () => {
    await stage.db.query(
      `INSERT INTO agent_audit_event ("publicId", "workspaceId", action, metadata)
       SELECT 'huge' || n, w.id, 'huge', to_json(repeat('\\"', CASE n WHEN 7 THEN 2000000 ELSE 2500 END))::text
         FROM generate_series(1, 250) n, workspace w WHERE w.slug = 'one' ORDER BY n`,
    );
    const seen: string[] = [];
    let before: string | null | undefined;
    do {
      const words = before === undefined ? { limit: 200 } : { limit: 200, before };
      const response = await post({
        ...CALL,
        params: { name: "get_recent_activity", arguments: words },
      });
      const text = await response.text();
      const activity = JSON.parse(text).result.structuredContent as Activity;
      expect(text.length).toBeLessThan(1 << 20);
      seen.push(...activity.agentAudit.filter(({ action }) => action === "huge").map(({ id }) => String(id)));
      before = activity.nextBefore;
    } while (before !== null);

    expect(seen).toEqual(Array.from({ length: 250 }, (_, n) => `ev_huge${250 - n}`));
  });

  test("lets go of a request that is cancelled in the same breath, and so never answered", async () => {
    const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } };

    const response = await post([CALL, cancelled]);

    expect([response.status, await response.json()]).toEqual([504, { error: "timed_out" }]);
  });

  test("tells an agent no more of a failing database than that it fails", async () => {
    await stage.db.query("ALTER TABLE agent_audit_event RENAME TO elsewhere");
    onTestFinished(async () => {
      await stage.db.query("ALTER TABLE elsewhere RENAME TO agent_audit_event");
    });

    const { result } = await read(await post(CALL));

    expect(result).toEqual({
      isError: true,
      content: [{ type: "text", text: "The database cannot be asked now. Try again later." }],
    });
  });
});
