import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { watchTrust } from "../../src/operations/approval/trust-dir.ts";
import { type Desk, openDesk } from "../process/desk.ts";
import { openTrustDesk, type TrustDesk } from "../support/trust.ts";
import { coverOne } from "../verifier/trust-scene.ts";
import { ask, startProgram, startServe } from "./program.ts";
import { openStage, type Stage } from "./stage.ts";

const OWNERS = ["alice", "bob"];

describe("a server with a trust root", () => {
  let desk: TrustDesk;
  let stage: Stage;
  let clock = 0;
  beforeAll(async () => {
    desk = openTrustDesk(OWNERS);
    stage = await openStage({ authenticator: { trust: watchTrust(desk.dir, { now: () => clock }) } });
  });
  afterAll(async () => {
    await stage?.dispose();
    desk?.dispose();
  });

  test("lets through what is signed, and answers the uniform 401 to what is not", async () => {
    const { token: approved, written } = await coverOne(stage.db, desk);
    const slug = written.plan.lines[0]?.identity?.slug;
    const { token: unapproved } = await stage.issue("unapproved");

    const passed = await stage.ask("/auth?scope=cards:read", approved);
    const refused = await stage.ask("/auth", unapproved);
    const unknown = await stage.ask("/auth", "kanagent_unknown");

    expect([passed.status, passed.headers.get("x-midctl-identity")]).toEqual([200, slug]);
    expect([refused.status, await refused.text()]).toEqual([unknown.status, await unknown.text()]);
  });

  test("counts plans and what was unapproved, for an alarm", async () => {
    const text = await (await stage.ask("/metrics")).text();

    for (const line of [
      "midctl_trusted 1",
      "midctl_unapproved_total 1",
      "midctl_plans_verified_total 1",
      "midctl_plans_insufficient_total 0",
      "midctl_plans 1",
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });

  test("is not ready while its trust directory is not understood, answers 503, and is well again after", async () => {
    writeFileSync(join(desk.dir, "policy.json"), "{");
    clock += 10_000;
    const ready = await stage.ask("/readyz");
    const auth = await stage.ask("/auth", "kanagent_unknown");
    const metrics = await (await stage.ask("/metrics")).text();
    desk.write(OWNERS);
    clock += 1_000;
    const again = await stage.ask("/readyz");

    expect([ready.status, await ready.json()]).toEqual([503, { ready: false, reason: "trust" }]);
    expect([auth.status, again.status]).toEqual([503, 200]);
    expect(metrics).toContain("\nmidctl_trusted 0\n");
    expect(metrics).toContain("\nmidctl_ready 0\n");
  });
});

describe("the program", () => {
  let desk: Desk;
  let trust: TrustDesk;
  let token: string;
  beforeAll(async () => {
    desk = await openDesk();
    trust = openTrustDesk(OWNERS);
    await desk.identity("bot");
    ({ token } = await desk.activeCredential("bot"));
  });
  afterAll(async () => {
    trust?.dispose();
    await desk?.dispose();
  });

  test("serves by --trust-dir", async () => {
    const { url } = await startServe(desk.env, "--trust-dir", trust.dir);

    expect((await ask(`${url}/auth`, token)).status).toBe(401);
  });

  test("refuses a trust directory that it does not understand, before it listens", async () => {
    const running = startProgram(["serve", "--listen", "127.0.0.1:0"], {
      ...desk.env,
      MIDCTL_TRUST_DIR: "/nowhere/trust",
    });

    expect(await running.ended).toMatchObject({ code: 2 });
    expect([running.stdout(), running.stderr()]).toEqual(["", expect.stringContaining("/nowhere/trust")]);
  });

  test("verify looks by it: unapproved, exit 4", async () => {
    const looked = await desk.run(`verify --json --trust-dir ${trust.dir}`, { stdin: token });
    const unchecked = await desk.run("verify --json", { stdin: token });

    expect([looked.code, JSON.parse(looked.stdout)]).toEqual([
      4,
      { schemaVersion: 1, ok: false, code: "unapproved" },
    ]);
    expect(JSON.parse(unchecked.stdout)).toMatchObject({ ok: true, approval: null });
  });

  test("mcp refuses what is unapproved", async () => {
    const file = join(desk.directory, "bearer");
    writeFileSync(file, `${token}\n`, { mode: 0o600 });

    const refused = await desk.run(`mcp --stdio --trust-dir ${trust.dir} --token-file ${file}`);

    expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining("refused")]);
  });

  test("says once that approvals are not checked, where the environment is protected", async () => {
    const production = await openDesk();
    try {
      await production.run("db init --environment production --live --protected");
      const running = startProgram(["serve", "--listen", "127.0.0.1:0", "--no-access-log"], production.env);
      await running.said(/^listening/m);

      expect(running.stderr().match(/approvals are not checked here/g)).toHaveLength(1);
    } finally {
      await production.dispose();
    }
  });
});
