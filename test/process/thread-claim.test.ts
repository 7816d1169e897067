import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createToken } from "../../src/domain/token.ts";
import { type Desk, openDesk } from "./desk.ts";
import { ENTER, openSession } from "./pty.ts";

/** `CODEX_THREAD_ID` is what an agent's environment says of itself: offered to a person, and else only named. */
let desk: Desk;
let thread: string;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(() => {
  thread = `thread-${++count}`;
});

const within = (claim: string) => ({ env: { CODEX_THREAD_ID: claim } });

describe("on a terminal CODEX_THREAD_ID", () => {
  it("is the default answer to the missing name of a new identity", async () => {
    const session = openSession(desk, "$midctl identity create --owner you", { CODEX_THREAD_ID: thread });
    await session.shows(`codex-${thread}`);
    session.type(ENTER);

    expect((await session.ended).code).toBe(0);
    expect(await desk.ask(`identity show codex-${thread}`)).toMatchObject({
      identity: { kind: "thread", provider: "codex", threadId: thread },
    });
  });

  it("gives way to another answer", async () => {
    const session = openSession(desk, "$midctl identity create --owner you", { CODEX_THREAD_ID: thread });
    await session.shows(`codex-${thread}`);
    session.type(`plain-${thread}${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect(await desk.ask(`identity show plain-${thread}`)).toMatchObject({ identity: { kind: "service" } });
  });

  it("is the default answer to the missing --thread of --provider codex", async () => {
    const session = openSession(
      desk,
      "$midctl credential issue --provider codex --create --owner you --token-file ./claimed",
      { CODEX_THREAD_ID: thread },
    );
    await session.shows("(--thread)");
    session.type(ENTER);

    expect((await session.ended).code).toBe(0);
    expect(await desk.ask(`identity show codex-${thread}`)).toMatchObject({ identity: { threadId: thread } });
  });
});

describe("off a terminal CODEX_THREAD_ID", () => {
  it.each([
    ["identity create --owner you", "SLUG is missing"],
    ["identity create --owner you --provider codex", "--provider goes with --thread"],
    ["credential issue", "REF is missing"],
    ["credential issue --provider codex --create --owner you", "--provider goes with --thread"],
  ])("is taken by nobody for `%s`: the usage error says how to give it", async (words, message) => {
    const refusal = await desk.refuse(words, within(thread));

    expect(refusal).toMatchObject({ exit: 2, code: "usage", message: expect.stringContaining(message) });
    expect(refusal.hint).toContain('--thread "$CODEX_THREAD_ID" --provider codex');
    expect((await desk.run(`identity show codex-${thread}`)).code).toBe(3);
  });

  it("that another --thread contradicts is a warning that names both, and --thread counts", async () => {
    const created = await desk.run(
      `identity create --thread ${thread} --provider codex --owner you --json`,
      within("its-parent"),
    );

    expect(created.code).toBe(0);
    expect(JSON.parse(created.stdout).identity.threadId).toBe(thread);
    expect(created.stderr).toMatch(new RegExp(`^Warning: .*"${thread}".*"its-parent".*\\n$`));
  });

  it("warns of the same mismatch where a credential is issued", async () => {
    const issued = await desk.run(
      `credential issue --thread ${thread} --provider codex --create --owner you`,
      within("its-parent"),
    );

    expect(issued.code).toBe(0);
    expect(issued.stderr).toContain(`"its-parent"`);
  });

  it.each([
    ["says the same", (same: string) => same, "codex"],
    ["is empty", () => "", "codex"],
    ["is of another provider's thread", () => "its-parent", "claude"],
  ])("that %s is no reason to warn", async (_, claim, provider) => {
    const { code, stderr } = await desk.run(
      `identity create --thread ${thread} --provider ${provider} --owner you`,
      within(claim(thread)),
    );

    expect(code).toBe(0);
    expect(stderr).not.toContain("Warning");
  });
});

describe("a CODEX_THREAD_ID that is no thread id", () => {
  const hostile = [
    ["holds control characters", "a\u001b]0;owned\u0007b\n"],
    ["holds bidi characters", "a\u202eb"],
    ["is 100 kB long", "a".repeat(100_000)],
    ["is a token", createToken("test", randomBytes).text],
  ] as const;

  it.each(hostile)("and %s is not offered", async (_, claim) => {
    expect(await desk.refuse("identity create --owner you", within(claim))).toMatchObject({
      exit: 2,
      hint: null,
    });
  });

  it.each(hostile)("and %s is named in the warning safely and in short", async (_, claim) => {
    const { code, stderr } = await desk.run(
      `identity create --thread ${thread} --provider codex --owner you`,
      within(claim),
    );

    expect(code).toBe(0);
    expect(stderr).toContain("Warning");
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]|mid_test/);
    expect(stderr.length).toBeLessThan(500);
  });
});
