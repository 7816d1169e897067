import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";

/** Rotating many, with what should not be: nothing is begun, or that target alone fails and keeps its old secret. */
let desk: Desk;
/** An identity with a secret in use: of each test that changes something, else of several. */
let slug: string;
let token: string;
/** Each test's own. */
let secrets: string;
let made = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk?.dispose());
async function makeBot(): Promise<void> {
  slug = await desk.identity(`bot-${++made}`);
  ({ token } = await desk.activeCredential(slug));
}
beforeEach(() => {
  secrets = mkdtempSync(join(desk.directory, "secrets-"));
});

const rotate = (...words: string[]) => ["credential", "rotate", ...words, "--yes"];
const toFiles = (...words: string[]) => rotate("--token-file-dir", secrets, ...words);
const campaigns = async () => (await desk.ask("runbook status")).campaigns;
const statusOf = async (secret: string) =>
  (await desk.ask("verify", { stdin: `${secret}\n` })).credential.effectiveStatus;

/** Runs a campaign of which something fails: exit 8. */
async function failing(words: readonly string[]): Promise<Answer> {
  const { code, stdout, stderr } = await desk.run([...words, "--json"]);
  expect(code, stderr).toBe(8);
  return JSON.parse(stdout);
}

describe("a label that a path is made of", () => {
  beforeAll(makeBot);
  it.each([
    ["leads upwards", ".."],
    ["leads elsewhere in the directory", "../../etc"],
    ["is absolute", "/etc/cron.d/x"],
    ["is the directory itself", "."],
    ["is too long for a name", "x".repeat(240)],
    ["is empty", ""],
  ])("and %s is refused before anything is changed", async (_, value) => {
    await desk.ask(["identity", "update", slug, "--label", `at=${value}`]);
    const before = await campaigns();

    const refusal = await desk.refuse(rotate(slug, "--token-file-dir", join(secrets, "{label.at}")));

    expect(refusal).toMatchObject({ exit: 2, code: "usage", message: expect.stringContaining(slug) });
    expect(readdirSync(secrets)).toEqual([]);
    expect(await campaigns()).toEqual(before);
  });
});

describe("a link below the directory", () => {
  let outside: string;
  beforeEach(async () => {
    await makeBot();
    outside = mkdtempSync(join(desk.directory, "outside-"));
  });

  it.each([
    ["in the place of a directory", "{slug}/token", (): string => join(secrets, slug)],
    ["in the place of a directory on the way", "a/{slug}/b/token", (): string => join(secrets, "a", slug)],
    ["in the place of the file", "{slug}", (): string => join(secrets, slug)],
  ])("%s is not followed: the target fails, and nothing is written", async (_, template, link) => {
    mkdirSync(join(secrets, "a"));
    symlinkSync(outside, link());

    const { results } = await failing(
      rotate(slug, "--token-file-dir", join(secrets, template), "--no-input"),
    );

    expect(results).toMatchObject([{ state: "failed", problem: expect.stringMatching(/link/) }]);
    expect(readdirSync(outside)).toEqual([]);
    expect(await statusOf(token)).toBe("active");
  });

  it("to nothing is not made true either", async () => {
    symlinkSync(join(outside, "none"), join(secrets, slug));

    await failing(rotate(slug, "--token-file-dir", join(secrets, "{slug}", "token")));

    expect(existsSync(join(outside, "none"))).toBe(false);
  });

  it("is followed where it is the directory that was said", async () => {
    const link = join(outside, "link");
    symlinkSync(secrets, link);

    await desk.ask(rotate(slug, "--token-file-dir", link));

    expect(readdirSync(secrets)).toEqual([`${slug}.token`]);
  });
});

describe("names on standard input", () => {
  beforeAll(makeBot);
  it("that come twice are one target", async () => {
    const { results } = await desk.ask(toFiles("-"), { stdin: `\ufeff${slug}\r\n${slug}\n  ${slug}  ` });

    expect(results).toMatchObject([{ identity: slug, state: "delivered" }]);
  });

  it.each([
    ["a line of 10 MiB", "x".repeat(10 * 1_048_576)],
    ["a line of 7 MiB", "x".repeat(7 * 1_048_576)],
    ["nothing but empty lines", "\r\n\n\ufeff\n"],
    ["bytes that are no text", "\u0000\u0001\n"],
    ["a credential", "mc_7Zk2mPq90aBc\n"],
  ])("that are %s are refused, in few words", async (_, stdin) => {
    const before = await campaigns();

    const refusal = await desk.refuse(toFiles("-"), { stdin });

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(refusal.message.length).toBeLessThan(500);
    expect(await campaigns()).toEqual(before);
  });
});

describe("terms", () => {
  beforeAll(makeBot);
  it.each([
    ["a grace of more than a day", ["--grace", "25h"]],
    ["a batch of none", ["--batch", "0"]],
    ["a number that is none", ["--max-failures", "-1"]],
    ["no time to deliver", ["--deliver-timeout", "0s"]],
    ["a command with an open quote", ["--health", "check 'open"]],
  ])("with %s are refused before anything is changed", async (_, words) => {
    const before = await campaigns();

    expect(await desk.refuse(toFiles(slug, ...words))).toMatchObject({ exit: 2, code: "usage" });

    expect(await campaigns()).toEqual(before);
    expect(readdirSync(secrets)).toEqual([]);
  });
});

describe("an identity under a revoked parent", () => {
  beforeEach(makeBot);
  it("fails by itself, says why, and is issued nothing; the others are rotated", async () => {
    const parent = await desk.identity(`${slug}-parent`);
    const child = await desk.identity(`${slug}-child`, "--parent", parent);
    await desk.activeCredential(child);
    await desk.ask(["revoke", parent, "--yes"]);

    const { campaign, results } = await failing(toFiles(slug, child, "--max-failures", "1"));

    expect(campaign).toMatchObject({ status: "stopped", delivered: 1, failed: 1 });
    expect(results).toMatchObject([
      { identity: slug, state: "delivered" },
      {
        identity: child,
        state: "failed",
        credential: null,
        problem: expect.stringContaining(`${child} is revoked, or an ancestor is`),
      },
    ]);
    expect(readdirSync(secrets)).toEqual([`${slug}.token`]);
    expect((await desk.ask(["identity", "show", child])).credentials).toHaveLength(1);
  });
});

describe("a command that takes secrets", () => {
  beforeEach(makeBot);
  function script(lines: string): string {
    const path = join(secrets, "take");
    writeFileSync(path, `#!/bin/sh\n${lines}\n`, { mode: 0o700 });
    return path;
  }

  it.each([
    ["never reads", "exit 0"],
    ["closes its input", "exec 0<&-; exit 0"],
    ["closes all that it was given", "exec 0<&- 1>&- 2>&-; exit 0"],
    ["reads a part", "head -c 5 >/dev/null; exit 0"],
  ])("and %s but says that all is well breaks nothing: the old secret goes on", async (_, lines) => {
    const { code, stderr } = await desk.run(rotate(slug, "--deliver-exec", script(lines)));

    expect([0, 8]).toContain(code);
    expect(stderr).not.toMatch(/EPIPE|\n {4}at /);
    expect(await statusOf(token)).toBe("active");
  });

  it.each([
    ["is not there", "/nonexistent/take", /could not be started \(ENOENT\)/],
    ["may not be run", "/etc/passwd", /could not be started \(EACCES\)/],
    ["is ended by a signal", "sh -c 'kill -9 $$'", /was ended by SIGKILL/],
  ])("and %s leaves the old secret, and a new one that authenticates nobody", async (_, command, message) => {
    const { results } = await failing(rotate(slug, "--deliver-exec", command));

    expect(results).toMatchObject([{ state: "failed", problem: expect.stringMatching(message) }]);
    expect(await desk.ask(["credential", "show", results[0].credential])).toMatchObject({
      credential: { status: "revoked" },
    });
    expect(await statusOf(token)).toBe("active");
  });

  it("and ignores being told to end is killed, and what it started with it", async () => {
    const mark = join(secrets, "pid");
    const command = script(`trap '' TERM; sleep 300 & echo $! > "${mark}"; wait; wait`);

    const { results } = await failing(rotate(slug, "--deliver-exec", command, "--deliver-timeout", "1s"));

    expect(results[0].problem).toContain("took longer than 1 s");
    const pid = Number(readFileSync(mark, "utf8"));
    expect(isRunning(pid)).toBe(false);
    expect(await statusOf(token)).toBe("active");
  });
});

/** A process that has ended and whose parent has not asked yet is none that runs. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
