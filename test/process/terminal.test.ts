import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { displayWidth } from "../../src/cli/wrap.ts";
import { type Desk, openDesk } from "./desk.ts";
import { CTRL_C, CTRL_D, ENTER, openSession } from "./pty.ts";

let desk: Desk;
let slug: string;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  slug = `bot-${++count}`;
  await desk.identity(slug);
});

const statusOf = async (identity = slug): Promise<string> =>
  (await desk.ask(["identity", "show", identity])).identity.status;

/** The screen without colours and cursor movements. */
const plain = (screen: string): string => screen.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/\r/g, "");

describe("a revocation on a terminal", () => {
  it("happens once the name was typed", async () => {
    const session = openSession(desk, `$midctl revoke ${slug}`);
    await session.shows(`type ${slug}`);
    session.type(`${slug}${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect(await statusOf()).toBe("revoked");
  });

  it("changes nothing where another name was typed", async () => {
    const session = openSession(desk, `$midctl revoke ${slug}`);
    await session.shows(`type ${slug}`);
    session.type(`y${ENTER}`);

    const { code, screen } = await session.ended;
    expect(code).toBe(2);
    expect(screen).toContain("nothing was changed");
    expect(await statusOf()).toBe("active");
  });

  it("ended by Ctrl-C at the question is exit 130, and nothing was changed", async () => {
    const session = openSession(desk, `$midctl revoke ${slug}`);
    await session.shows(`type ${slug}`);
    session.type(CTRL_C);

    const { code, screen } = await session.ended;
    expect(code).toBe(130);
    expect(screen).toContain("nothing was changed");
    expect(await statusOf()).toBe("active");
  });

  it("ended by Ctrl-D at the question is exit 130, and nothing was changed", async () => {
    const session = openSession(desk, `$midctl revoke ${slug}`);
    await session.shows(`type ${slug}`);
    session.type(CTRL_D);

    const { code, screen } = await session.ended;
    expect(code).toBe(130);
    expect(screen).toContain("nothing was changed");
    expect(await statusOf()).toBe("active");
  });

  it("goes on asking after Ctrl-D behind a word, which deletes to the right as shells have it", async () => {
    const session = openSession(desk, `$midctl revoke ${slug}`);
    await session.shows(`type ${slug}`);
    session.type(`${slug}${CTRL_D}${ENTER}`);

    expect((await session.ended).code).toBe(0);
  });

  it("asks for the target first where none was given, and again where the answer is none", async () => {
    const session = openSession(desk, "$midctl revoke");
    await session.shows("(REF)");
    session.type(`${slug}${ENTER}`);
    await session.shows(`type ${slug}`);
    session.type(`${slug}${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect(await statusOf()).toBe("revoked");
  });

  it("of a rotation's compromised credentials asks for the name, too", async () => {
    const { token } = await desk.activeCredential(slug);
    const session = openSession(desk, `$midctl credential rotate ${slug} --compromised`);
    await session.shows(`type ${slug}`);
    session.type(`no${ENTER}`);

    expect((await session.ended).code).toBe(2);
    expect((await desk.run("verify", { stdin: token })).code).toBe(0);
  });

  it("is not confirmed by a pipe of `yes`, on a terminal or off it", async () => {
    const { code, screen } = await openSession(desk, `yes ${slug} | $midctl revoke ${slug}`).ended;
    expect(code).toBe(2);
    expect(screen).toContain("--yes");

    const endless = `${slug}\n`.repeat(1000);
    expect((await desk.run(["revoke", slug], { stdin: endless })).code).toBe(2);
    expect(await statusOf()).toBe("active");
  });
});

describe("a change to many on a terminal", () => {
  it("is confirmed by typing what is to be done to how many", async () => {
    const other = await desk.identity(`${slug}-other`);
    const session = openSession(desk, `$midctl pause ${slug} ${other}`);
    await session.shows("type pause 2");
    session.type(`pause 2${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect([await statusOf(), await statusOf(other)]).toEqual(["paused", "paused"]);
  });

  it("off a terminal needs --yes", async () => {
    const other = await desk.identity(`${slug}-other`);
    expect((await desk.refuse(["pause", slug, other])).hint).toContain("--yes");
    expect(await desk.ask(["pause", slug, other, "--yes"])).toMatchObject({
      results: [{ changed: true }, { changed: true }],
    });
  });
});

describe("a missing argument on a terminal", () => {
  it("is asked for, and asked again until it is a good one", async () => {
    const session = openSession(desk, "$midctl identity show");
    await session.shows("(REF)");
    session.type(`NOT-A-SLUG${ENTER}`);
    await session.shows("capital letters are not allowed");
    session.type("\u0015"); // Ctrl-U: empties the line
    session.type(`${slug}${ENTER}`);

    const { code, screen } = await session.ended;
    expect(code).toBe(0);
    expect(plain(screen)).toContain("platform");
  });

  it("is a usage error under --no-input and MIDCTL_NO_INPUT", async () => {
    const flagged = await openSession(desk, "$midctl identity show --no-input").ended;
    const said = await openSession(desk, `$midctl revoke ${slug}`, { MIDCTL_NO_INPUT: "1" }).ended;

    expect([flagged.code, said.code]).toEqual([2, 2]);
    expect(flagged.screen).toContain("REF is missing");
    expect(await statusOf()).toBe("active");
  });
});

describe("a token on a terminal", () => {
  it.each(["verify", "credential activate", "revoke --token-stdin"])(
    "is not read by `%s`: typing would show it",
    async (words) => {
      const { code, screen } = await openSession(desk, `$midctl ${words}`).ended;

      expect(code).toBe(2);
      expect(screen).toContain("terminal");
    },
  );

  it("that was issued stands on a line of its own", async () => {
    const { code, screen } = await openSession(desk, `$midctl credential issue ${slug}`).ended;

    expect(code).toBe(0);
    const tokens = plain(screen)
      .split("\n")
      .filter((line) => line.includes("mid_test_"));
    expect(tokens).toEqual([expect.stringMatching(/^mid_test_\w+$/)]);
    expect((await desk.run("verify", { stdin: tokens[0] ?? "" })).code).toBe(0);
  });

  it("redirected into a file leaves the summary, and only that, on the terminal", async () => {
    const { screen } = await openSession(desk, `$midctl credential issue ${slug} >redirected`).ended;

    expect(readFileSync(join(desk.directory, "redirected"), "utf8")).toMatch(/^mid_test_\w+\n$/);
    expect(plain(screen)).toMatch(/issued +now/);
    expect(screen).not.toContain("mid_test_");
  });
});

describe("a table on a terminal", () => {
  it("fits it, has colours and relative times, and keeps slugs whole", async () => {
    await desk.activeCredential(slug);
    const long = await desk.identity(
      "a".repeat(40),
      "--display-name",
      "长".repeat(60),
      "--label",
      "team=infra",
    );
    const { screen } = await openSession(desk, "$midctl list").ended;

    const lines = plain(screen).split("\n");
    expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(80);
    expect(plain(screen)).toContain(long);
    expect(plain(screen)).toMatch(/ago|now/);
    expect(screen).toContain("\u001b[");
  });

  it("has no colours under NO_COLOR, --no-color and a dumb terminal", async () => {
    const screens = await Promise.all([
      openSession(desk, "$midctl list", { NO_COLOR: "1" }).ended,
      openSession(desk, "$midctl list --no-color").ended,
      openSession(desk, "$midctl list", { TERM: "dumb" }).ended,
    ]);

    for (const { screen } of screens) expect(screen).not.toContain("\u001b[3");
  });
});
