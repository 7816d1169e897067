import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";
import { CTRL_C, ENTER, openSession } from "./pty.ts";

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
    ["audit --action *.issue", "credential.*"],
  ])("refuses `%s` with a hint", async (words, hint) => {
    expect(await desk.refuse(words)).toMatchObject({ exit: 2, hint: expect.stringContaining(hint) });
  });

  it.each([
    "audit --identity nobody",
    "audit trace nobody",
    "identity show nobody",
    "audit trace mc_aaaaaaaaaaaa",
  ])("does not say of `%s`, which reads alone, that nothing was changed", async (words) => {
    const { exit, message } = await desk.refuse(words);

    expect(exit).toBe(3);
    expect(message).toMatch(/nothing was (read|shown)\.$/);
  });

  it.each(["audit --since", "audit --until", "audit follow --since", "token sunset --after"])(
    "takes no year 0, which PostgreSQL has not: `%s`",
    async (words) => {
      expect((await desk.refuse([...words.split(" "), "0000-01-01T00:00:00Z", "--yes"])).exit).toBe(2);
    },
  );

  it("keeps the columns of tab-separated text, and tells a story in a table", async () => {
    const plain = await desk.run("audit --identity bot");
    const table = await desk.run("audit --identity bot --output table");

    expect(plain.stdout).toMatch(/^\S+\talice\tidentity\.create\tbot\t\tfor the night\t\tlog_\d+\n$/);
    expect(table.stdout).toMatch(
      /^WHEN +ID +WHO +WHAT +WHY\n\S+ +log_\d+ +alice +made bot, owner platform +for the night\n$/,
    );
  });
});

describe("the id of an event", () => {
  it("is what `audit prove --event` and `audit follow --from` take", async () => {
    const { stdout } = await desk.run("audit --identity bot");
    const id = stdout.trimEnd().split("\t").at(-1);

    expect(await desk.ask(`audit prove --event ${id}`)).toMatchObject({ kind: "inclusion" });
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

  it("says in a pipe whose life it is and who owns it, and keeps several lives apart", async () => {
    await desk.identity("twice");
    const ids = [
      (await desk.issue("twice", "--name", "a")).id,
      (await desk.issue("twice", "--name", "b")).id,
    ];

    const { stdout } = await desk.run("audit trace twice");

    const lives = stdout.split("\n\n");
    expect(lives).toHaveLength(2);
    for (const [at, id] of ids.entries()) {
      expect(lives[at]).toMatch(new RegExp(`^credential\t${id}\nidentity\ttwice\nowner\tplatform\nname\t`));
    }
  });

  it("calls a token that is cut short malformed, as `verify` does", async () => {
    const { token } = await desk.issue("child", "--name", "cut");

    const refused = await desk.run("audit trace --token-stdin", { stdin: token.slice(0, -1) });

    expect(refused).toMatchObject({ code: 4, stdout: "" });
    expect(refused.stderr).toContain("malformed");
    expect(refused.stderr).not.toContain("not known");
  });

  it("wants either a reference or a token", async () => {
    expect(await desk.refuse("audit trace")).toMatchObject({
      exit: 2,
      message: expect.stringContaining("REF"),
    });
    expect(await desk.refuse("audit trace bot --token-stdin")).toMatchObject({ exit: 2 });
  });
});

describe("a page longer than the screen, on a terminal", () => {
  /** On a screen of five rows. */
  const session = (words: string, env: Readonly<Record<string, string>>) =>
    openSession(desk, `stty rows 5; trap : INT; $midctl ${words}; echo exit $?`, env);

  beforeAll(async () => {
    for (const owner of ["a", "b", "c"]) await desk.ask(`identity update bot --owner ${owner}`);
    const context = JSON.stringify({ actor: { kind: "operator", name: "eve" }, reason: "bell\u0007" });
    await desk.sql(
      `DO $do$ BEGIN PERFORM set_config('midctl.context', '${context}', true); UPDATE machine_identity SET owner = 'd' WHERE slug = 'bot'; END $do$`,
    );
  });

  it("goes through the user's pager, which knows neither settings nor passwords of midctl", async () => {
    const { screen } = await session("audit", {
      MIDCTL_PAGER: "env > pager.env; cat > paged",
      PGPASSWORD: "hunter2",
      PAGER: "false",
    }).ended;

    const paged = readFileSync(join(desk.directory, "paged"), "utf8");
    expect(paged).toContain("changed bot: owner c → d");
    expect(paged).toContain("bell\\u{07}");
    expect(screen).toContain("exit 0");
    expect(screen).not.toContain("changed bot");
    expect(readFileSync(join(desk.directory, "pager.env"), "utf8")).not.toMatch(/MIDCTL_|hunter2/);
  });

  it.each([
    ["is not there", { MIDCTL_PAGER: "no-such-pager" }],
    ["dies", { MIDCTL_PAGER: "kill -9 $$" }],
    ["fails", { PAGER: "cat > /dev/null; exit 3" }],
    ["is switched off", { MIDCTL_PAGER: "", PAGER: "cat > never" }],
    ["has nobody to turn the page", { MIDCTL_PAGER: "cat > never", MIDCTL_NO_INPUT: "1" }],
    ["has a terminal that cannot", { MIDCTL_PAGER: "cat > never", TERM: "dumb" }],
  ])("is on the screen, whole, where the pager %s", async (_, env) => {
    const { screen } = await session("audit", env).ended;

    for (const owner of ["a → b", "b → c", "c → d"]) expect(screen).toContain(owner);
    expect(screen).toContain("exit 0");
    expect(screen).not.toContain("at ");
  });

  it("is UTF-8 to less, whatever the locale, unless the user says otherwise", async () => {
    const shown = "cat > /dev/null; echo charset $LESSCHARSET.";

    expect((await session("audit", { MIDCTL_PAGER: shown }).ended).screen).toContain("charset utf-8.");
    expect((await session("audit", { MIDCTL_PAGER: shown, LESSCHARSET: "latin1" }).ended).screen).toContain(
      "charset latin1.",
    );
  });

  it("is left to the pager by Ctrl-C", async () => {
    const shown = session("audit", {
      MIDCTL_PAGER: "trap '' INT; cat > /dev/null; echo OPEN; read line < /dev/tty; echo CLOSED",
    });
    await shown.shows("OPEN");
    shown.type(CTRL_C);
    shown.type(ENTER);

    const { screen } = await shown.ended;
    expect(screen).toContain("CLOSED");
    expect(screen).toContain("exit 0");
  });

  it("is nobody's matter where it fits, or where stdout is no terminal", async () => {
    const env = { MIDCTL_PAGER: "cat > never" };

    expect((await session("audit --limit 1", env).ended).screen).toContain("changed bot: owner c → d");
    expect((await session("audit | cat", env).ended).screen).toContain("identity.update");
  });

  it("wraps sentences between words, and loses none", async () => {
    const { screen } = await openSession(desk, "stty cols 50; $midctl audit --action identity.create").ended;

    const words = screen.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").split(/\s+/);
    expect(words).toEqual(expect.arrayContaining(["bot,", "owner", "platform", "for", "the", "night"]));
    expect(screen).not.toContain("…");
  });
});
