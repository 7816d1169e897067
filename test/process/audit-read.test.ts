import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

let desk: Desk;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot", "--reason", "for the night");
  await desk.identity("child", "--parent", "bot");
});
afterAll(() => desk.dispose());

describe("`audit`", () => {
  it("takes --actor after the command for whose deeds are shown, and before it for who asks", async () => {
    await desk.ask("--actor carol identity update child --owner carol");

    const carols = await desk.ask("audit --actor carol");
    const all = await desk.ask("--actor carol audit");

    expect(carols.events.map(({ action }: { action: string }) => action)).toEqual(["identity.update"]);
    expect(all.events.length).toBeGreaterThan(1);
  });

  it.each([
    ["audit --descendants", "--identity REF --descendants"],
    ["audit --since 1h --until 2h", "--since 2h --until 1h"],
    ["audit --since 2026-02-30T00:00:00Z", "RFC 3339"],
    ["audit --until yesterday", "such as 90s"],
  ])("refuses `%s` with a hint", async (words, hint) => {
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, hint: expect.stringContaining(hint) });
  });

  it("keeps the columns of tab-separated text, and tells a story in a table", async () => {
    const plain = await desk.run("audit --identity bot");
    const table = await desk.run("audit --identity bot --output table");

    expect(plain.stdout).toMatch(/^\S+\talice\tidentity\.create\tbot\t\tfor the night\t\n$/);
    expect(table.stdout).toMatch(
      /^WHEN +WHO +WHAT +WHY\n\S+ +alice +made bot, owner platform +for the night\n$/,
    );
  });
});

describe("`audit trace`", () => {
  let production: ProtectedDesk;

  beforeAll(async () => {
    production = await openProtectedDesk();
    await production.carryThrough("identity create guarded --owner platform");
  });
  afterAll(() => production.dispose());

  it("begins with the request and who signed it", async () => {
    const { id } = await production.carryThrough("credential issue guarded --token-file ./guarded");

    const { lives } = await production.ask("audit trace guarded");

    expect(
      lives[0].steps.map(
        ({ action, actor, approval }: { action: string; actor: { name: string }; approval: string }) => [
          action,
          actor.name,
          approval,
        ],
      ),
    ).toEqual([
      ["approval.request", "alice", id],
      ["approval.approve", "bob", id],
      ["credential.issue", "alice", id],
    ]);
  });

  it("reads a token from standard input, is no use of it, and never repeats it", async () => {
    const { token, id } = await desk.issue("child");

    const traced = await desk.run("audit trace --token-stdin --debug", { stdin: token });

    expect(traced.code).toBe(0);
    expect(traced.stdout).toContain(id);
    expect(traced.stdout + traced.stderr).not.toContain(token);
    expect((await desk.ask(["credential", "show", id])).credential.status).toBe("pending");
  });

  it("wants either a reference or a token", async () => {
    expect(await desk.refuse("audit trace")).toMatchObject({
      exit: 2,
      message: expect.stringContaining("REF"),
    });
    expect(await desk.refuse("audit trace bot --token-stdin")).toMatchObject({ exit: 2 });
  });
});
