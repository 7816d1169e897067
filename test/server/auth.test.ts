import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { insertLegacy } from "../verifier/scene.ts";
import { openStage, type RawAnswer, type Stage, seenOf, sendRaw } from "./stage.ts";

let stage: Stage;
let good: string;
let goodId: string;

beforeAll(async () => {
  stage = await openStage();
  ({ token: good, id: goodId } = await stage.issue("codex-t1", {
    identity: { kind: "thread", provider: "codex", threadId: "t1", displayName: "Codex, thread 1" },
    scopes: ["audit:read", "cards:*"],
  }));
});
afterAll(() => stage.dispose());

const auth = (token?: string | null, query = "", init?: RequestInit) =>
  stage.ask(`/auth${query}`, token, init);

function actorIn(response: Response): Record<string, string | null> {
  const names = ["identity", "display-name", "owner", "credential", "kind", "scopes"];
  return Object.fromEntries(names.map((name) => [name, response.headers.get(`x-midctl-${name}`)]));
}

describe("/auth lets a good token pass", () => {
  test("and says whose it is", async () => {
    const response = await auth(good);

    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
    expect(actorIn(response)).toEqual({
      identity: "codex-t1",
      "display-name": "Codex, thread 1",
      owner: "platform",
      credential: goodId,
      kind: "thread",
      scopes: "audit:read cards:*",
    });
  });

  test("which is its first use: a pending one becomes active", async () => {
    const { token, id } = await stage.issue("first-use");

    const response = await auth(token);

    const [row] = await stage.db.query(
      `SELECT status FROM machine_identity_credential WHERE "publicId" = $1`,
      [id.slice(3)],
    );
    expect([response.status, row]).toEqual([200, { status: "active" }]);
  });

  test.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])(
    "whatever the method of the request in question: %s",
    async (method) => {
      expect((await auth(good, "", { method })).status).toBe(200);
    },
  );

  test("though the request has a body, which is nobody's business", async () => {
    const response = await auth(good, "", { method: "POST", body: "x".repeat(10_000) });

    expect([response.status, response.headers.get("x-midctl-identity")]).toEqual([200, "codex-t1"]);
  });

  test("though a proxy asks by an absolute URL", async () => {
    const { status, text } = await sendRaw(
      stage.port,
      `GET http://proxy.example/auth HTTP/1.1\r\nHost: proxy.example\r\nAuthorization: Bearer ${good}\r\n\r\n`,
    );

    expect(status).toBe(200);
    expect(text).toContain("x-midctl-identity: codex-t1");
  });

  test.each([
    ["?scope=cards:read", 200],
    ["?scope=cards%3Aread", 200],
    ["?scope=cards:write&scope=audit:read", 200],
    ["?", 200],
    ["?scope=cards:read&scope=admin", 401],
    ["?scope=admin&scope=cards:read", 401],
    ["?scope=admin", 401],
  ])("that may do what the query asks for: %s → %i", async (query, status) => {
    expect((await auth(good, query)).status).toBe(status);
  });

  test.each(["?scope=", "?scope", "?scope=a%20b", "?scope=cards:read&scope=", `?scope=${"x".repeat(129)}`])(
    "but answers 400 to an operator whose query asks for no scope at all: %s",
    async (query) => {
      const response = await auth(good, query);

      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: "invalid_scope" });
    },
  );
});

test.each([
  "?scopes=admin",
  "?Scope=admin",
  "?scope[]=admin",
  "?x;scope=admin",
  "?scope=cards:read&other=1",
  "?scope%00=cards:read",
  "?=cards:read",
  "?cards:read",
])(
  "/auth answers 400 to a query that holds anything but scope: a slip is no demand for nothing: %s",
  async (query) => {
    const [plain, withBody] = [
      await auth(good, query),
      await auth(good, query, { method: "POST", body: "x" }),
    ];

    expect([plain.status, withBody.status]).toEqual([400, 400]);
    expect(await plain.json()).toMatchObject({ error: "invalid_request" });
  },
);

describe("the headers of /auth", () => {
  const ODD = "a\r\nB: 1 é";

  test("percent-encode what is not visible ASCII, and a percent sign", async () => {
    const { token } = await stage.issue("umlaut", {
      identity: { displayName: "Grüße, 100 % 🦊", owner: "Über" },
    });

    const headers = actorIn(await auth(token));

    expect(headers["display-name"]).toMatch(/^[!-~]+$/);
    expect(decodeURIComponent(headers["display-name"] ?? "")).toBe("Grüße, 100 % 🦊");
    expect(decodeURIComponent(headers.owner ?? "")).toBe("Über");
  });

  test("are all there for a legacy token too, so that a proxy overwrites what a client claims", async () => {
    const token = await insertLegacy(stage.db, "legacyauth01", '["cards:read"]');

    expect(actorIn(await auth(token))).toEqual({
      identity: "at_legacyauth01",
      "display-name": "old bot",
      owner: "",
      credential: "",
      kind: "legacy_token",
      scopes: "cards:read",
    });
  });

  test("leave out what a host wrote that is no scope: it could read as two, or as another header", async () => {
    const token = await insertLegacy(
      stage.db,
      "legacyauth02",
      '["cards:read admin", "kärten", "a\\r\\nX-Admin: 1", "ok"]',
    );

    const response = await auth(token);

    expect(response.headers.get("x-midctl-scopes")).toBe("ok");
    expect(response.headers.get("x-admin")).toBeNull();
  });

  test("have so many scopes of a host's token as any server takes; all of them count", async () => {
    const scopes = Array.from({ length: 2_000 }, (_, n) => `scope:${n}`);
    const token = await insertLegacy(stage.db, "legacyauth04", JSON.stringify(scopes));

    const response = await auth(token, "?scope=scope:1999");

    const named = (response.headers.get("x-midctl-scopes") ?? "").split(" ");
    expect(response.status).toBe(200);
    expect(named.join(" ").length).toBeLessThanOrEqual(64 * 129);
    expect(named).toEqual(scopes.slice(0, named.length));
    expect(named.length).toBeGreaterThan(700);
  });

  test("stay in one line, whatever public id a host chose", async () => {
    const token = await insertLegacy(stage.db, "legacyauth03");
    await stage.db.query(`UPDATE agent_token SET "publicId" = $1 WHERE "publicId" = $2`, [
      ODD,
      "legacyauth03",
    ]);

    const response = await auth(token);

    expect(response.status).toBe(200);
    expect(decodeURIComponent(response.headers.get("x-midctl-identity") ?? "")).toBe(`at_${ODD}`);
  });
});

describe("every refusal of /auth is the same to the bearer", () => {
  const refusals: Record<string, () => Promise<string | null>> = {
    "without a token": async () => null,
    "of a malformed token": async () => "mid_test_abc",
    "of an unknown token": async () =>
      "mid_test_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000",
    "of an unknown legacy token": async () => "kanagent_unknown",
    "of a known id with a wrong secret": async () =>
      `${good.slice(0, -10)}${good.slice(-10) === "0000000000" ? "1" : "0"}000000000`,
    "of a token of another environment": async () => good.replace("mid_test_", "mid_live_"),
    "of an active token that lacks the scope": async () =>
      (await stage.issue(`scopeless-${Date.now()}`)).token,
    "of a paused token": async () =>
      made("paused", (slug) => change("machine_identity", "status = 'paused'", slug)),
    "of a revoked token": async () =>
      made("revoked", (slug) => change("machine_identity", "status = 'revoked'", slug)),
  };

  async function change(table: string, columns: string, slug: string): Promise<void> {
    await stage.db.query(`UPDATE ${table} SET ${columns} WHERE slug = $1`, [slug]);
  }

  async function made(slug: string, act: (slug: string) => Promise<void>): Promise<string> {
    const { token } = await stage.issue(slug, { scopes: ["asked:for"] });
    await act(slug);
    return token;
  }

  test.each(Object.keys(refusals))("%s", async (name) => {
    const uniform = await seenOf(await auth(null, "?scope=asked:for"));
    const token = (await refusals[name]?.()) ?? null;

    const seen = await seenOf(await auth(token, "?scope=asked:for"));

    expect(seen).toEqual(uniform);
    expect(seen).toMatchObject({ status: 401, body: '{"error":"unauthorized"}' });
    expect(seen).toHaveProperty(
      "headers",
      expect.arrayContaining([["www-authenticate", 'Bearer realm="midctl"']]),
    );
  });
});

describe("garbage in Authorization is refused, and the server goes on", () => {
  const send = (...lines: (string | Buffer)[]): Promise<RawAnswer> =>
    sendRaw(
      stage.port,
      Buffer.concat([
        Buffer.from("GET /auth HTTP/1.1\r\nHost: localhost\r\n"),
        ...lines.flatMap((line) => [Buffer.from(line as string, "latin1"), Buffer.from("\r\n")]),
        Buffer.from("\r\n"),
      ]),
    );

  test.each<[string, () => string[], number]>([
    ["a header given twice", () => [`Authorization: Bearer ${good}`, `Authorization: Bearer ${good}`], 401],
    ["a good one after another's", () => ["Authorization: Basic eDp5", `authorization: Bearer ${good}`], 401],
    [
      "a good one before another's",
      () => [`authorization: Bearer ${good}`, "AUTHORIZATION: Basic eDp5"],
      401,
    ],
    ["another scheme", () => ["Authorization: Basic dXNlcjpwYXNz"], 401],
    ["a scheme alone", () => ["Authorization: Bearer"], 401],
    ["nothing", () => ["Authorization:"], 401],
    ["a token alone", () => [`Authorization: ${good}`], 401],
    ["bytes beyond ASCII", () => [`Authorization: Bearer ${good}\xe9\xff`], 401],
    ["UTF-8", () => [`Authorization: Bearer ${Buffer.from("gutes Töken").toString("latin1")}`], 401],
    ["a truncated token", () => [`Authorization: Bearer ${good.slice(0, -1)}`], 401],
    ["a longer token", () => [`Authorization: Bearer ${good}0`], 401],
    ["600 characters", () => [`Authorization: Bearer ${"x".repeat(600)}`], 401],
    ["10,000 characters", () => [`Authorization: Bearer ${"x".repeat(10_000)}`], 401],
    ["1 MiB", () => [`Authorization: Bearer ${"x".repeat(1 << 20)}`], 431],
    ["NUL", () => ["Authorization: Bearer a\0b"], 400],
    ["a line feed alone", () => [`Authorization: Bearer ${good}\nX-Other: 1`], 400],
    ["a folded line", () => ["Authorization: Bearer", ` ${good}`], 400],
  ])("%s", async (_, lines, status) => {
    const answer = await send(...lines());

    expect(answer.status).toBe(status);
    expect(answer.text).not.toMatch(/\bat .*:\d+:\d+|Error:|node_modules/);
    expect((await auth(good)).status).toBe(200);
    expect(stage.reports).toEqual([]);
  });

  test("a good token in lower case of scheme passes, as RFC 9110 has it", async () => {
    expect((await send(`Authorization: bearer ${good}`)).status).toBe(200);
  });
});

describe("a database that cannot be asked", () => {
  test("is 503 with Retry-After, never a refusal", async () => {
    const gone = await openStage({ authenticator: { patience: 500 } });
    const { token } = await gone.issue("known");
    try {
      await gone.database.dispose();

      const response = await gone.ask("/auth", token);

      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
      expect(await response.json()).toEqual({ error: "unavailable" });
    } finally {
      await gone.server.stop();
    }
  });
});
