import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeKeptHead } from "../../src/domain/kept-head.ts";
import { legacyToken } from "../support/legacy-token.ts";
import { backUp } from "./backup.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";

/** A database that was restored from before, and in which people went on with what they had: token files and legacy tokens. */
describe("midctl audit reconcile --export, of what was made again after the restore", () => {
  let desk: Desk;
  let file: string;
  let restored: { readonly MIDCTL_DATABASE_URL: string };
  let outcome: Answer;
  let exit: number | null;
  let size: number;
  const tokens: Record<string, string> = {};
  const refs: Record<string, string> = {};

  beforeAll(async () => {
    desk = await openDesk();
    file = join(desk.directory, "log.jsonl");
    for (const slug of ["maker", "bot", "late"]) await desk.identity(slug);
    for (const name of ["revoked", "sunset"])
      ({ token: tokens[name], ref: refs[name] } = await legacyToken(desk.directUrl, name));
    restored = await backUp(desk, "before");

    for (const name of ["leaked", "halted", "gone"]) refs[name] = await made(name, {});
    await desk.ask(["revoke", String(refs.leaked), "--yes"]);
    await desk.ask(["pause", String(refs.halted)]);
    await desk.ask(["revoke", String(refs.gone), "--yes"]);
    await desk.ask(["revoke", String(refs.revoked), "--yes"]);
    await desk.ask("token sunset --after 2099-01-01T00:00:00Z --yes");
    await desk.ask(["audit", "export", "--out", file]);
    ({ size } = await desk.ask("audit checkpoint"));
    await desk.ask("revoke late --yes");
    const { origin, root, ...later } = await desk.ask("audit checkpoint");
    const head = { origin, size: later.size, root: Buffer.from(root, "base64"), accepted: 0 };
    writeFileSync(join(desk.directory, "head"), writeKeptHead(head), { mode: 0o600 });

    for (const name of ["leaked", "halted"]) expect(await made(name, restored)).toBe(refs[name]);
    const adopt = (name: string) =>
      desk.ask(["identity", "adopt", String(refs[name]), "--identity", "bot", "--name", name], {
        env: restored,
      });
    await adopt("revoked");
    await adopt("sunset");
    const next = await desk.ask("credential rotate bot --name revoked --grace 24h", { env: restored });
    await desk.ask("credential activate", { stdin: `${next.token}\n`, env: restored });

    const ran = await reconciled("--yes");
    [outcome, exit] = [JSON.parse(ran.stdout), ran.code];
  });
  afterAll(() => desk.dispose());

  it.each([
    ["leaked", "revoke"],
    ["halted", "pause"],
  ])("ends again what the same token file made again: %s", async (name, does) => {
    expect(stepOf(name)).toMatchObject({ does, state: "needed", problem: null });
    expect(await works(name)).toBe(false);
  });

  it("only counts what was made in the lost entries and is not there", () => {
    expect(stepOf("gone")).toBeUndefined();
    expect(outcome.notReplayed).toMatchObject({ "credential.issue": 3, "credential.revoke": 1 });
  });

  it("revokes a legacy token that was adopted since and is in its grace", async () => {
    expect(stepOf("revoked")).toMatchObject({ does: "revoke", state: "needed", problem: null });
    expect(await works("revoked")).toBe(false);
  });

  it("lists a legacy token that was adopted since and outlives the sunset", () => {
    expect(outcome.limits).toMatchObject([
      {
        state: "open",
        says: `1 legacy token would end later than 2099-01-01T00:00:00.000Z, of which ${refs.sunset} was adopted since`,
        mend: `midctl revoke ${refs.sunset}`,
      },
    ]);
    expect(exit).toBe(8);
  });

  it("says what verifiers saw that the export has not, and is not done", async () => {
    await desk.ask(["revoke", String(refs.sunset), "--yes"], { env: restored });

    const alone = await reconciled("--yes");
    const { code, stdout } = await reconciled("--yes", "--head-file", join(desk.directory, "head"));
    const shown = await desk.run(
      ["audit", "reconcile", "--export", file, "--yes", "--head-file", join(desk.directory, "head")],
      { env: restored },
    );

    expect([alone.code, JSON.parse(alone.stdout).unseen]).toEqual([0, null]);
    expect([code, JSON.parse(stdout).unseen]).toEqual([8, { from: size, to: expect.any(Number) }]);
    expect(shown.stdout).toMatch(/^Open: verifiers saw log_\d+ too, which neither/m);
  });

  /** A credential from a token file that may be there already. */
  async function made(name: string, env: Readonly<Record<string, string>>): Promise<string> {
    const path = join(desk.directory, `${name}.token`);
    const { credential } = await desk.ask(
      ["credential", "issue", "maker", "--name", name, "--token-file", path],
      { env },
    );
    await desk.ask(["credential", "activate", "--token-file", path], { env });
    tokens[name] = readFileSync(path, "utf8").trim();
    return credential.id;
  }
  const reconciled = (...words: string[]) =>
    desk.run(["audit", "reconcile", "--export", file, "--json", ...words], { env: restored });
  const stepOf = (name: string): Answer => outcome.steps.find(({ ref }: Answer) => ref === refs[name]);

  async function works(name: string): Promise<boolean> {
    const { code } = await desk.run("verify", { env: restored, stdin: `${tokens[name]}\n` });
    return code === 0;
  }
});
