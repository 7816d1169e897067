import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSql } from "../support/databases.ts";
import { legacyToken } from "../support/legacy-token.ts";
import { backUp } from "./backup.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";

/** A database that was restored from before, with what is easily taken for done, and what no one command does again. */
describe("midctl audit reconcile --export, of what is neither an identity's nor a credential's end", () => {
  let desk: Desk;
  let file: string;
  let restored: { readonly MIDCTL_DATABASE_URL: string };
  let plan: Answer;
  let outcome: Answer;
  let exit: number | null;
  const tokens: Record<string, string> = {};
  const refs: Record<string, string> = {};

  beforeAll(async () => {
    desk = await openDesk();
    file = join(desk.directory, "log.jsonl");
    for (const slug of ["graced", "pending", "owner", "later", "keeper"]) await desk.identity(slug);
    await desk.identity("drowsy", "--idle-ttl", "1h");
    await desk.identity("drowsy-child", "--parent", "drowsy");
    for (const name of ["revoked", "alone", "adopted", "halted", "child", "ending", "moved", "sunset"])
      ({ token: tokens[name], ref: refs[name] } = await legacyToken(desk.directUrl, name));
    const graced = await desk.activeCredential("graced");
    const next = await desk.ask("credential rotate graced --grace 24h");
    await desk.ask("credential activate", { stdin: `${next.token}\n` });
    const pending = await desk.issue("pending");
    const later = await desk.activeCredential("later");
    tokens.drowsy = (await desk.activeCredential("drowsy-child")).token;
    Object.assign(tokens, { graced: graced.token, pending: pending.token, later: later.token });
    Object.assign(refs, { graced: graced.id, pending: pending.id, later: later.id });
    restored = await backUp(desk, "before");

    await desk.ask(["revoke", graced.id, "--yes"]);
    await desk.ask("credential activate", { stdin: `${pending.token}\n` });
    await desk.ask(["pause", pending.id]);
    await desk.ask(["identity", "adopt", String(refs.revoked), "--slug", "born", "--owner", "team"]);
    await desk.ask("revoke born --yes");
    await desk.ask(["identity", "adopt", String(refs.alone), "--identity", "owner", "--name", "alone"]);
    await desk.ask(["revoke", String(refs.alone).replace("at_", "mc_"), "--yes"]);
    await desk.ask(["identity", "adopt", String(refs.adopted), "--identity", "keeper", "--name", "adopted"]);
    await desk.ask(["identity", "adopt", String(refs.halted), "--identity", "owner", "--name", "halted"]);
    await desk.ask(["identity", "adopt", String(refs.moved), "--identity", "owner", "--name", "moved"]);
    await desk.ask("pause owner");
    await desk.ask(["identity", "adopt", String(refs.child), ...born("child"), "--parent", "keeper"]);
    await desk.ask(["identity", "adopt", String(refs.ending), ...born("ending")]);
    await desk.ask("identity update born-ending --expires 1h");
    await desk.ask("pause drowsy");
    await desk.ask("token sunset --after 2099-01-01T00:00:00Z --yes");
    await desk.ask(["revoke", later.id, "--yes"]);
    await desk.ask(["audit", "export", "--out", file]);

    // Since its restore it has been asleep, and somebody has adopted elsewhere what had been adopted and halted.
    await runSql(restored.MIDCTL_DATABASE_URL, "ALTER TABLE machine_identity DISABLE TRIGGER USER");
    await runSql(
      restored.MIDCTL_DATABASE_URL,
      `UPDATE machine_identity SET "createdAt" = "createdAt" - interval '1 day' WHERE slug = 'drowsy'`,
    );
    for (const state of ["ENABLE ALWAYS"])
      await runSql(restored.MIDCTL_DATABASE_URL, `ALTER TABLE machine_identity ${state} TRIGGER USER`).catch(
        () => {},
      );
    await desk.ask(["identity", "adopt", String(refs.moved), "--identity", "later", "--name", "moved"], {
      env: restored,
    });

    plan = await desk.ask(["audit", "reconcile", "--export", file, "--dry-run"], { env: restored });
    const ran = await desk.run(["audit", "reconcile", "--export", file, "--yes", "--json"], {
      env: restored,
    });
    [outcome, exit] = [JSON.parse(ran.stdout), ran.code];
  });
  afterAll(() => desk.dispose());

  it("revokes again a credential that is in its grace, which works that long", async () => {
    expect(stepOf(plan, "graced")).toMatchObject({ does: "revoke", state: "needed" });
    expect(await works("graced")).toBe(false);
  });

  it.each(["revoked", "alone"])(
    "revokes the legacy token that was adopted and then revoked: %s",
    async (name) => {
      expect(stepOf(plan, name)).toMatchObject({ does: "revoke", state: "needed" });
      expect(await works(name)).toBe(false);
    },
  );

  it("revokes a pending credential that had been paused: a use would let it in", async () => {
    expect(stepOf(plan, "pending")).toMatchObject({ does: "revoke", action: "credential.pause" });
    expect(await works("pending")).toBe(false);
  });

  it("does what ends first, and all of it", async () => {
    const order = plan.steps.map(({ does }: Answer) => does);

    expect(order.lastIndexOf("revoke")).toBeLessThan(order.indexOf("pause"));
    expect(await works("later")).toBe(false);
    expect(outcome).toMatchObject({ applied: true });
  });

  it("names an adoption that was lost, with the command that does it again, and is not done while it is open", async () => {
    const [open] = limits(outcome, "credential.adopt");

    expect(exit).toBe(8);
    expect(open).toEqual(
      expect.objectContaining({
        state: "open",
        says: expect.stringContaining(`${refs.adopted}, which keeper had adopted`),
        mend: `midctl identity adopt ${refs.adopted} --identity keeper --name adopted`,
      }),
    );
    expect(limits(outcome, "credential.adopt")).toHaveLength(1);
  });

  it("names an end of legacy tokens that was lost", async () => {
    expect(limits(outcome, "token.update")).toMatchObject([
      {
        state: "open",
        says: "1 legacy token would end later than 2099-01-01T00:00:00.000Z",
        mend: "midctl token sunset --after 2099-01-01T00:00:00.000Z",
      },
    ]);
  });

  it("tells a person what is open, also where nothing is to be changed", async () => {
    const { stdout } = await desk.run(["audit", "reconcile", "--export", file, "--dry-run"], {
      env: restored,
    });

    expect(stdout).toContain(`midctl identity adopt ${refs.adopted} --identity keeper`);
    expect(stdout).toMatch(/^Not brought back: .*\d identity\.create/m);
  });

  it("has nothing more to do once each of these commands was given", async () => {
    for (const { mend } of outcome.limits) {
      const { code } = await desk.run([...mend.split(" ").slice(1), "--yes"], { env: restored });
      expect(code).toBe(0);
    }

    const again = await desk.ask(["audit", "reconcile", "--export", file, "--yes"], { env: restored });
    expect(again.limits.map(({ state }: Answer) => state)).toEqual(["done", "done"]);
  });

  const born = (name: string): string[] => ["--slug", `born-${name}`, "--owner", "team"];
  const stepOf = (document: Answer, name: string): Answer =>
    document.steps.find(({ ref }: Answer) => ref === refs[name]);
  const limits = (document: Answer, action: string): Answer[] =>
    document.limits.filter((each: Answer) => each.action === action);

  async function works(name: string): Promise<boolean> {
    const { code } = await desk.run("verify", { env: restored, stdin: `${tokens[name]}\n` });
    return code === 0;
  }
});
