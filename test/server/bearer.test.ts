import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { type MidctlVariables, midctlAuth } from "../../src/hono.ts";
import { authenticateHeader } from "../../src/operations/bearer.ts";
import type { Accepted, Decision, RefusalCode } from "../../src/operations/decide.ts";

const ACCEPTED: Accepted = {
  ok: true,
  actor: { kind: "legacy_token", slug: "at_000000000000", displayName: "old", owner: null },
  credential: null,
  identity: null,
  scopes: [],
  workspace: null,
  expiresAt: null,
  approval: null,
};

/** Decides as told, and remembers what it was asked. */
function deciding(decision: Decision) {
  const asked: unknown[][] = [];
  return {
    asked,
    authenticate: async (...words: unknown[]) => {
      asked.push(words);
      return decision;
    },
  };
}

const refusing = (code: RefusalCode) => deciding({ ok: false, code });

const REFUSALS: readonly RefusalCode[] = [
  "malformed",
  "unknown",
  "paused",
  "identity_paused",
  "superseded",
  "expired",
  "abandoned",
  "revoked",
  "identity_revoked",
  "scope_missing",
  "unapproved",
];

describe("from a header to an answer", () => {
  test("a good token is 200, with the actor", async () => {
    const authenticator = deciding(ACCEPTED);

    const answer = await authenticateHeader(authenticator, "Bearer good", { scope: "cards:read" });

    expect(answer).toEqual({ decision: ACCEPTED, status: 200, headers: {}, body: null });
    expect(authenticator.asked).toEqual([["good", { scope: "cards:read" }]]);
  });

  test.each(REFUSALS)("%s is the one uniform 401", async (code) => {
    const { decision, ...seen } = await authenticateHeader(refusing(code), "Bearer some");
    const { decision: _, ...unknown } = await authenticateHeader(refusing("unknown"), "Bearer other");

    expect(decision).toEqual({ ok: false, code });
    expect(seen).toEqual(unknown);
    expect(seen).toMatchObject({ status: 401, headers: { "www-authenticate": 'Bearer realm="midctl"' } });
  });

  test("a database that cannot be asked is 503, to be tried again", async () => {
    const answer = await authenticateHeader(refusing("unavailable"), "Bearer some");

    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
  });

  test.each([[undefined], ["Basic x"], [["Bearer a", "Bearer a"]], ["Bearer a, Bearer b"]])(
    "%j is refused alike, and nobody is asked",
    async (header) => {
      const authenticator = deciding(ACCEPTED);
      const { decision: _, ...unknown } = await authenticateHeader(refusing("unknown"), "Bearer other");

      const { decision, ...seen } = await authenticateHeader(authenticator, header);

      expect(decision).toEqual({ ok: false, code: "malformed" });
      expect(seen).toEqual(unknown);
      expect(authenticator.asked).toEqual([]);
    },
  );
});

test.each([[5], [{}], [[5]], [[null]], [[undefined]], [[["Bearer a"]]], [true]])(
  "%j for a header is refused, and nothing is thrown",
  async (header) => {
    const good = deciding(ACCEPTED);

    const answer = await authenticateHeader(good, header as never);

    expect(answer).toMatchObject({ status: 401, decision: { ok: false, code: "malformed" } });
    expect(good.asked).toEqual([]);
  },
);

describe("Hono's middleware", () => {
  test.each([[{ scope: undefined }], [{ scope: null }], ["admin"], [{ scopes: ["admin"] }], [null]])(
    "is not made for the demand %j, which would have let all pass",
    (demand) => {
      expect(() => midctlAuth(deciding(ACCEPTED), demand as never)).toThrow(
        expect.objectContaining({ code: "usage" }),
      );
    },
  );

  function appWith(decision: Decision) {
    const app = new Hono<{ Variables: MidctlVariables }>();
    app.use(midctlAuth(deciding(decision), { scope: "cards:read" }));
    app.get("/cards", (c) => c.json(c.get("midctl").actor));
    return app;
  }

  test("lets a good token pass and tells the handler whose it is", async () => {
    const response = await appWith(ACCEPTED).request("/cards", { headers: { authorization: "Bearer good" } });

    expect(await response.json()).toEqual(ACCEPTED.actor);
  });

  test("answers any other itself", async () => {
    const response = await appWith({ ok: false, code: "revoked" }).request("/cards", {
      headers: { authorization: "Bearer bad" },
    });

    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="midctl"');
    expect(await response.json()).toEqual({ error: "unauthorized" });
  });

  test("refuses a header that was given twice", async () => {
    const headers = new Headers([
      ["authorization", "Bearer good"],
      ["authorization", "Bearer good"],
    ]);

    expect((await appWith(ACCEPTED).request("/cards", { headers })).status).toBe(401);
  });
});
