import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { insertLegacy } from "../verifier/scene.ts";
import { createDatabase, openStage, type Stage, seenOf, sendRaw } from "./stage.ts";

let stage: Stage;
/** The resource server's own token. */
let caller: string;
let token: string;
let id: string;

beforeAll(async () => {
  stage = await openStage();
  ({ token: caller } = await stage.issue("resource-server", { scopes: ["midctl:introspect"] }));
  ({ token, id } = await stage.issue("codex-t1", {
    identity: {
      kind: "thread",
      provider: "codex",
      threadId: "t1",
      displayName: "Codex 1",
      labels: { team: "a" },
    },
    scopes: ["audit:read", "cards:*"],
  }));
});
afterAll(() => stage.dispose());

const FORM = "application/x-www-form-urlencoded";

const introspect = (body: string, as: string | null = caller, type = FORM) =>
  stage.ask("/introspect", as, { method: "POST", body, headers: { "content-type": type } });

describe("of a good token the caller learns", () => {
  test("what RFC 7662 registers, and in a member of ours whose it is", async () => {
    const response = await introspect(`token=${token}`);

    expect(response.headers.get("cache-control")).toBe("no-store");
    const [credential] = await stage.db.query<{ iat: number; exp: number }>(
      `SELECT floor(extract(epoch FROM "issuedAt"))::int AS iat, floor(extract(epoch FROM "expiresAt"))::int AS exp
         FROM machine_identity_credential WHERE "publicId" = $1`,
      [id.slice(3)],
    );
    const [identity] = await stage.db.query<{ publicId: string }>(
      `SELECT "publicId" FROM machine_identity WHERE slug = 'codex-t1'`,
    );
    expect(await response.json()).toEqual({
      active: true,
      scope: "audit:read cards:*",
      client_id: "codex-t1",
      username: "Codex 1",
      token_type: "Bearer",
      ...credential,
      sub: identity?.publicId,
      midctl: {
        actor: { kind: "machine_identity", slug: "codex-t1", displayName: "Codex 1", owner: "platform" },
        identity: identity?.publicId,
        kind: "thread",
        provider: "codex",
        threadId: "t1",
        parent: null,
        labels: { team: "a" },
        workspace: null,
        credential: id,
        status: "active",
      },
    });
  });

  test("no end, where there is none", async () => {
    const endless = await stage.issue("endless", { expiresIn: "never" });

    expect(await (await introspect(`token=${endless.token}`)).json()).not.toHaveProperty("exp");
  });

  test("that it is a legacy one", async () => {
    const legacy = await insertLegacy(stage.db, "legacyintro1", '["cards:read", "two words"]');

    expect(await (await introspect(`token=${legacy}`)).json()).toMatchObject({
      active: true,
      scope: "cards:read",
      client_id: "at_legacyintro1",
      sub: "at_legacyintro1",
      midctl: { actor: { kind: "legacy_token", owner: null }, credential: null },
    });
  });

  test("and it counts as used: a pending one becomes active", async () => {
    const first = await stage.issue("first-seen");

    await introspect(`token=${first.token}&token_type_hint=access_token`);

    const [row] = await stage.db.query(
      `SELECT status FROM machine_identity_credential WHERE "publicId" = $1`,
      [first.id.slice(3)],
    );
    expect(row).toEqual({ status: "active" });
  });
});

describe("of any other token the caller learns that it is not active, and nothing else", () => {
  test.each<[string, () => Promise<string>]>([
    ["unknown", async () => "kanagent_unknown"],
    ["malformed", async () => "mid_test_x"],
    ["of another environment", async () => token.replace("_test_", "_live_")],
    ["with a wrong secret", async () => `${token.slice(0, -7)}0${token.slice(-6)}`],
    ["of 10,000 characters", async () => "x".repeat(10_000)],
    ["with NUL in it", async () => "a%00b"],
    ["in broken UTF-8", async () => "%ff%fe"],
    [
      "paused",
      async () => {
        const { token: paused } = await stage.issue("paused-one");
        await stage.db.query(`UPDATE machine_identity SET status = 'paused' WHERE slug = 'paused-one'`);
        return paused;
      },
    ],
  ])("%s", async (_, make) => {
    const response = await introspect(`token=${await make()}`);

    expect([response.status, await response.text()]).toEqual([200, '{"active":false}']);
  });
});

describe("the caller", () => {
  test.each<[string, () => Promise<string | null>]>([
    ["without a token", async () => null],
    ["with a bad token", async () => "kanagent_unknown"],
    ["whose token has not the scope", async () => token],
  ])("%s gets the uniform 401, whatever it sends", async (_, make) => {
    const as = await make();

    const seen = await seenOf(await introspect(`token=${token}`, as));

    expect(seen).toEqual(await seenOf(await stage.ask("/auth")));
    expect(await seenOf(await introspect("not a form", as, "text/plain"))).toEqual(seen);
  });

  test.each(["*", "midctl:*"])("may have the scope by %s", async (scope) => {
    const { token: wide } = await stage.issue(`wide-${scope.length}`, { scopes: [scope] });

    expect(await (await introspect(`token=${token}`, wide)).json()).toMatchObject({ active: true });
  });
});

describe("a body that is no form with one token", () => {
  test.each([
    ["JSON", () => introspect(JSON.stringify({ token }), caller, "application/json"), 400],
    ["a form that says it is text", () => introspect(`token=${token}`, caller, "text/plain"), 400],
    ["multipart", () => introspect("--x\r\n", caller, "multipart/form-data; boundary=x"), 400],
    ["nothing", () => introspect(""), 400],
    ["an empty token", () => introspect("token="), 400],
    ["a token twice", () => introspect(`token=${token}&token=${token}`), 400],
    ["another parameter alone", () => introspect("access_token=x"), 400],
    ["bytes", () => introspect("\0\xff\xfe=%zz&%"), 400],
    ["64 KiB and one byte", () => introspect(`token=${"x".repeat(64 * 1024 - 5)}`), 413],
    ["1 MiB", () => introspect(`token=${"x".repeat(1 << 20)}`), 413],
  ])("is refused: %s", async (_, send, status) => {
    const response = await send();

    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: "invalid_request" });
  });

  test("is refused at 64 KiB though its length was not told beforehand", async () => {
    const chunk = `${(8192).toString(16)}\r\n${"x".repeat(8192)}\r\n`;
    const { status } = await sendRaw(
      stage.port,
      `POST /introspect HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${caller}\r\nContent-Type: ${FORM}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(10)}`,
    );

    expect(status).toBe(413);
  });

  test("is taken in chunks, and with a charset beside its type", async () => {
    const part = `token=${token}`;
    const { text } = await sendRaw(
      stage.port,
      `POST /introspect HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${caller}\r\nContent-Type: ${FORM}; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${part.slice(0, 5)}\r\n${(part.length - 5).toString(16)}\r\n${part.slice(5)}\r\n0\r\n\r\n`,
    );

    expect(text).toContain('"active":true');
  });

  test("cannot be smuggled behind two lengths", async () => {
    const { status } = await sendRaw(
      stage.port,
      `POST /introspect HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${caller}\r\nContent-Type: ${FORM}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    );

    expect(status).toBe(400);
  });
});

test("another method is 405 and names POST", async () => {
  const response = await stage.ask("/introspect", caller);

  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
});

test("a database that cannot be asked is 503, never a token that is not active", async () => {
  const database = await createDatabase();
  // Only a session of its own can listen, and so cache.
  const gone = await openStage({
    database: { ...database, db: database.direct },
    authenticator: { patience: 500 },
  });
  const { token: scoped } = await gone.issue("asks", { scopes: ["midctl:introspect"] });
  const headers = { "content-type": FORM };
  const ask = () => gone.ask("/introspect", scoped, { method: "POST", body: `token=${token}`, headers });
  // Until the caller's own token is answered from the cache: then only the other needs the database.
  while ((await (await fetch(`${gone.url}/metrics`)).text()).includes("midctl_verifier_cached_total 0\n"))
    await ask();
  try {
    await database.dispose();

    const response = await ask();

    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ error: "unavailable" });
  } finally {
    await gone.server.stop();
  }
});
