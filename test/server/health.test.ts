import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Tx } from "../../src/db/database.ts";
import { Health } from "../../src/server/health.ts";
import { until } from "../verifier/scene.ts";
import { openStage, type Stage } from "./stage.ts";

/** A verifier that keeps no head. */
const HEADLESS = { check: async () => undefined, counters: { head: null } };

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.dispose());

describe("/healthz and /readyz", () => {
  test.each([
    ["/healthz", { ok: true }],
    ["/readyz", { ready: true }],
  ])("%s answers who asks without a token", async (path, body) => {
    const response = await stage.ask(path);

    expect([response.status, await response.json()]).toEqual([200, body]);
  });

  test.each(["/healthz", "/readyz", "/metrics"])("%s is for reading", async (path) => {
    const posted = await stage.ask(path, null, { method: "POST" });
    const head = await stage.ask(path, null, { method: "HEAD" });

    expect([posted.status, posted.headers.get("allow"), head.status]).toEqual([405, "GET, HEAD", 200]);
  });

  test("without its database a server is alive and not ready", async () => {
    const gone = await openStage();
    await gone.database.dispose();
    try {
      const [alive, ready] = await Promise.all([gone.ask("/healthz"), gone.ask("/readyz")]);

      expect([alive.status, ready.status]).toEqual([200, 503]);
      expect(await ready.json()).toEqual({ ready: false, reason: "unavailable" });
    } finally {
      await gone.server.stop();
    }
  });
});

describe("readiness", () => {
  function asking(answer: () => Promise<object[]>) {
    let asked = 0;
    let now = 0;
    const db: Tx = {
      query: async <Row extends object>() => {
        asked += 1;
        return (await answer()) as Row[];
      },
    };
    return {
      health: new Health(db, () => now, HEADLESS),
      asked: () => asked,
      pass: (ms: number) => {
        now += ms;
      },
    };
  }

  test("is refused to a standby, which may not have heard of a revocation", async () => {
    const { health } = asking(async () => [{ barred: "standby" }]);

    expect(await health.readiness()).toBe("standby");
  });

  test("is asked of the database once a second, however many want to know", async () => {
    const { health, asked, pass } = asking(async () => [{ barred: null }]);

    await Promise.all(Array.from({ length: 100 }, () => health.readiness()));
    pass(999);
    await health.readiness();
    const within = asked();
    pass(1);
    await health.readiness();

    expect([within, asked()]).toEqual([1, 2]);
  });

  test("is not waited for without end", async () => {
    const { health } = asking(() => new Promise(() => {}));

    expect(await health.readiness()).toBe("unavailable");
  });
});

describe("/metrics", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage();
  });
  afterAll(() => stage.dispose());

  test("counts decisions, their time, requests, and what there is, in Prometheus' format", async () => {
    const { token } = await stage.issue("counted");
    await stage.ask("/auth", token);
    await stage.ask("/auth", "kanagent_unknown");
    await stage.ask("/nowhere");

    const response = await stage.ask("/metrics");
    const text = await response.text();

    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(text).toMatch(
      /^(# (HELP|TYPE) [^\n]+\n|[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? [0-9.e+-]+\n)+$/,
    );
    for (const line of [
      'midctl_decisions_total{outcome="accepted"} 1',
      'midctl_decisions_total{outcome="refused"} 1',
      'midctl_decision_duration_seconds_bucket{le="+Inf"} 2',
      "midctl_decision_duration_seconds_count 2",
      'midctl_http_requests_total{path="/auth",status="200"} 1',
      'midctl_http_requests_total{path="other",status="404"} 1',
      'midctl_identities{status="active"} 1',
      'midctl_credentials{status="active"} 1',
      "midctl_ready 1",
      "midctl_approvals_open 0",
      "midctl_break_glass_uncountersigned 0",
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });

  test("tells nobody why a token was refused: whoever holds one could ask", async () => {
    const { token } = await stage.issue("paused-in-secret");
    await stage.db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'paused-in-secret'");
    await stage.ask("/metrics");
    const counts = async () =>
      (await (await stage.ask("/metrics")).text())
        .split("\n")
        .filter((line) => line.startsWith("midctl_decisions"));
    const before = await counts();

    await stage.ask("/auth", token);
    const paused = await counts();
    await stage.ask("/auth", "kanagent_unknown");
    const unknown = await counts();

    const changed = (a: string[], b: string[]) =>
      b.filter((line) => !a.includes(line)).map((line) => line.split(" ")[0]);
    expect(changed(before, paused)).toEqual(changed(paused, unknown));
  });
});

test("what the server does not have is 404, in JSON", async () => {
  const response = await stage.ask("/nowhere");

  expect([response.status, await response.json()]).toEqual([404, { error: "not_found" }]);
});

describe("a server that keeps the log's head", () => {
  test("is not ready while the store of it does not work, and is well again after", async () => {
    let kept: string | null = null;
    let works = true;
    const head = {
      read: async () => kept,
      write: async (note: string) => {
        if (!works) throw new Error("full");
        kept = note;
      },
    };
    const headed = await openStage({ authenticator: { head } });
    try {
      const { token } = await headed.issue("remembered");
      const ready = await headed.ask("/readyz");
      works = false;
      await headed.issue("since");
      await until(async () => (await headed.ask("/auth", token)).status === 503);
      await until(async () => (await headed.ask("/readyz")).status === 503);
      const unready = await headed.ask("/readyz");
      const metrics = await (await headed.ask("/metrics")).text();
      works = true;
      await until(async () => (await headed.ask("/readyz")).status === 200);

      expect(ready.status).toBe(200);
      expect(await unready.json()).toEqual({ ready: false, reason: "head_store" });
      expect(metrics).toContain("\nmidctl_verifier_head_unkept 1\n");
      expect((await headed.ask("/auth", token)).status).toBe(200);
    } finally {
      await headed.dispose();
    }
  });
});
