import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSql } from "../support/databases.ts";
import { backUp } from "./backup.ts";
import { type Desk, openDesk } from "./desk.ts";
import { ENTER, openSession } from "./pty.ts";

/** A database that was restored from before, and an export of the log as it had become. */
describe("midctl audit reconcile --export", () => {
  let desk: Desk;
  let file: string;
  let restored: { readonly MIDCTL_DATABASE_URL: string };
  let production: typeof restored;
  let short: typeof restored;
  let hindered: typeof restored;
  let begun: number;
  let head: string;
  let kept: string;
  const tokens: Record<string, { token: string; id: string }> = {};

  beforeAll(async () => {
    desk = await openDesk();
    file = join(desk.directory, "log.jsonl");
    for (const slug of ["leaver", "halted", "resumed", "rotated", "shorter", "restless", "untouched"]) {
      await desk.identity(slug);
      tokens[slug] = await desk.activeCredential(slug);
    }
    restored = await backUp(desk, "before");
    production = await backUp(desk, "protected");
    short = await backUp(desk, "short");
    hindered = await backUp(desk, "hindered");
    begun = (await desk.ask("audit checkpoint")).size;
    await desk.ask("revoke leaver --yes --reason INC-1");
    await desk.ask("pause halted");
    await desk.ask("pause resumed");
    await desk.ask("resume resumed");
    const rotated = await desk.ask("credential rotate rotated --grace 1s");
    await desk.ask("credential activate", { stdin: `${rotated.token}\n` });
    await desk.ask("identity update shorter --expires 2d");
    await desk.ask("identity update restless --idle-ttl 2h");
    await desk.ask("identity update shorter --idle-ttl 3h");
    await desk.identity("born");
    await desk.ask("pause born");
    await desk.ask(["audit", "export", "--out", file]);
    const { origin, size, root } = await desk.ask("audit checkpoint");
    head = join(desk.directory, "head");
    kept = `${origin}\n${size}\n${root}\n`;
    writeFileSync(head, kept);
  });
  afterAll(() => desk.dispose());

  it("finds nothing where nothing is lost", async () => {
    expect(await reconciled()).toMatchObject({ forgotten: 0, steps: [], applied: false });
  });

  it("shows what the database forgot, by the entry that decided it, and what is not brought back", async () => {
    const plan = await reconciled(restored, "--dry-run");

    expect(plan).toMatchObject({ common: begun, applied: false });
    expect(plan.steps).toEqual([
      step("leaver", "revoke", "identity.revoke"),
      step(String(tokens.leaver?.id), "revoke", "credential.revoke"),
      step(String(tokens.rotated?.id), "revoke", "credential.supersede"),
      step("halted", "pause", "identity.pause"),
      { ...step("shorter", "expire", "identity.update"), expiresAt: expect.stringMatching(/^\d{4}-/) },
      { ...step("restless", "idle", "identity.update"), idleTtl: 7_200 },
      { ...step("shorter", "idle", "identity.update"), idleTtl: 10_800 },
    ]);
    expect(plan.limits).toEqual([]);
    expect(plan.notReplayed).toEqual({
      "credential.issue": 1,
      "identity.create": 1,
      "identity.pause": 1,
      "identity.resume": 1,
    });
    expect(await works("leaver")).toBe(true);
  });

  it("asks first, and off a terminal wants --yes", async () => {
    expect(await desk.refuse(["audit", "reconcile", "--export", file], { env: restored })).toMatchObject({
      exit: 2,
      message: expect.stringMatching(/has to be confirmed; nothing was changed/),
    });
    expect(await works("leaver")).toBe(true);
  });

  it("does it again, with what decided it as the reason, and finds nothing more to do", async () => {
    expect(await reconciled(restored, "--yes")).toMatchObject({ applied: true });

    const again = await reconciled(restored, "--yes");
    const { events } = await desk.ask("audit list --identity leaver --action identity.revoke", {
      env: restored,
    });
    expect(events[0].reason).toMatch(
      /^log_\d+, identity\.revoke of .*Z by alice, which a restore had lost: INC-1$/,
    );
    expect(again.applied).toBe(false);
    expect(await desk.ask("identity show restless", { env: restored })).toMatchObject({
      identity: { idleTtl: 7_200 },
    });
    expect(again.steps.map(({ state }: { state: string }) => state)).not.toContain("needed");
    expect(await Promise.all(["leaver", "halted", "rotated", "resumed", "untouched"].map(works))).toEqual([
      ...[false, false, false, true, true],
    ]);
  });

  it("says what is next where nothing more is to be done, and verifiers still refuse", async () => {
    const words = ["audit", "reconcile", "--export", file, "--yes"];

    const alone = await desk.run(words, { env: restored });
    const beside = await desk.run([...words, "--head-file", head], { env: restored });

    expect([alone.code, beside.code]).toEqual([0, 0]);
    expect(alone.stderr).toContain("midctl audit reconcile --head-file PATH --accept");
    expect(beside.stderr).toContain(`midctl audit reconcile --head-file ${head} --accept`);
    expect((await desk.run(words)).stderr).toBe("");
  });

  it("warns once of what comes back to life, whether it asks or is told --yes", async () => {
    const warning = /are accepted again, unless they/g;
    const said = (screen: string) => screen.replace(/\s+/g, " ").match(warning)?.length;
    const size = (await desk.ask("audit checkpoint", { env: restored })).size;
    const session = openSession(desk, `$midctl audit reconcile --head-file ${head} --accept`, restored);
    await session.shows(`type ${size}`);
    session.type(`${size}${ENTER}`);
    const asked = await session.ended;
    writeFileSync(head, kept);

    const told = await desk.run(["audit", "reconcile", "--head-file", head, "--accept", "--yes"], {
      env: restored,
    });

    expect([asked.code, told.code]).toEqual([0, 0]);
    expect([said(asked.screen), said(told.stderr)]).toEqual([1, 1]);
  });

  it("finds what two logs have in common where the restored one has gone on", async () => {
    expect(await reconciled(restored, "--dry-run")).toMatchObject({ common: begun });
  });

  it("refuses an export of another log, one that begins too late, and --accept beside it", async () => {
    const other = await openDesk();
    const late = join(desk.directory, "late.jsonl");
    await desk.ask(["audit", "export", "--out", late, "--from", String(begun + 2)]);

    expect(
      await desk.refuse(["audit", "reconcile", "--export", file], {
        env: { MIDCTL_DATABASE_URL: other.url },
      }),
    ).toMatchObject({ exit: 5, message: expect.stringMatching(/of another log/) });
    expect(await desk.refuse(["audit", "reconcile", "--export", late], { env: short })).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/differ before that/),
    });
    expect((await desk.refuse(["audit", "reconcile", "--export", file, "--accept"])).exit).toBe(2);
    await other.dispose();
  });

  it("takes an export that begins just where the restored log ends", async () => {
    const rest = join(desk.directory, "rest.jsonl");
    await desk.ask(["audit", "export", "--out", rest, "--from", String(begun)]);

    const plan = await desk.ask(["audit", "reconcile", "--export", rest, "--dry-run"], { env: short });

    expect(plan).toMatchObject({ common: begun });
    expect(plan.steps.length).toBeGreaterThan(0);
  });

  it("tells what is refused, and does the others", async () => {
    for (const statement of [
      `CREATE FUNCTION host_says_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`,
      `CREATE TRIGGER host BEFORE UPDATE ON machine_identity FOR EACH ROW WHEN (OLD.slug = 'leaver') EXECUTE FUNCTION host_says_no()`,
    ]) {
      await runSql(hindered.MIDCTL_DATABASE_URL, statement);
    }

    const { code, stdout } = await desk.run(["audit", "reconcile", "--export", file, "--yes", "--json"], {
      env: hindered,
    });
    const { steps } = JSON.parse(stdout);
    const text = await desk.run(["audit", "reconcile", "--export", file, "--yes"], { env: hindered });

    expect(code).toBe(8);
    expect(steps.filter(({ problem }: { problem: string | null }) => problem !== null)).toMatchObject([
      { ref: "leaver", does: "revoke", problem: expect.stringContaining("P0001") },
    ]);
    expect(await desk.ask("identity show halted", { env: hindered })).toMatchObject({
      identity: { effectiveStatus: "paused" },
    });
    expect(text.stdout).toMatch(/^Not done again: revoke leaver\. The database refused/m);
  });

  it("leaves a protected environment to its owners, and says what to request", async () => {
    for (const statement of [
      "ALTER TABLE midctl_environment DISABLE TRIGGER USER",
      "UPDATE midctl_environment SET protected = true",
    ]) {
      await runSql(production.MIDCTL_DATABASE_URL, statement);
    }

    const { exit, hint } = await desk.refuse(["audit", "reconcile", "--export", file, "--yes"], {
      env: production,
    });

    expect({ exit, hint }).toMatchObject({
      exit: 6,
      hint: expect.stringMatching(
        new RegExp(
          `^Request them: midctl revoke leaver ${tokens.rotated?.id} --key KEY; midctl pause halted --key KEY; midctl identity update shorter --expires \\d+s --idle-ttl 10800s --key KEY; midctl identity update restless --idle-ttl 7200s --key KEY$`,
        ),
      ),
    });
  });

  const step = (ref: string, does: string, action: string) => ({
    ...{
      ref,
      does,
      action,
      expiresAt: null,
      idleTtl: null,
      entry: expect.any(Number),
      at: expect.any(String),
      state: "needed",
      problem: null,
      hint: null,
    },
  });

  const reconciled = (env: Readonly<Record<string, string>> = {}, ...more: string[]) =>
    desk.ask(["audit", "reconcile", "--export", file, ...more], { env });

  async function works(slug: string): Promise<boolean> {
    const { code } = await desk.run("verify", { env: restored, stdin: `${tokens[slug]?.token}\n` });
    return code === 0;
  }
});
