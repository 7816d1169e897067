import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { openSession } from "./pty.ts";

/** `identity import`: a fleet from lines of JSON, all or nothing, and every line that is wrong by its number. */
let desk: Desk;
let prepared = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());

type Line = Readonly<Record<string, unknown>> | string;

const ndjson = (...lines: readonly Line[]): string =>
  lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");

const importing = (words: string, ...lines: readonly Line[]): Promise<Answer> =>
  desk.ask(`identity import ${words}`.trim(), { stdin: ndjson(...lines) });

/** What is said of each wrong line. */
async function problems(words: string, stdin: string): Promise<Record<number, string>> {
  const { details } = await desk.refuse(`identity import ${words}`.trim(), { stdin });
  const failed = details.failed as readonly { line: number; message: string }[];
  return Object.fromEntries(failed.map(({ line, message }) => [line, message]));
}

async function exists(slug: string): Promise<boolean> {
  return (await desk.run(["identity", "show", slug])).code === 0;
}

/** A commitment, and the file with its secret. */
async function prepare(): Promise<{ commitment: string; file: string }> {
  const file = join(desk.directory, `secret-${++prepared}`);
  const { commitment } = await desk.ask([
    "credential",
    "prepare",
    "--environment",
    "test",
    "--token-file",
    file,
  ]);
  return { commitment, file };
}

describe("what a line can say", () => {
  it("is what the flags of `identity create` can", async () => {
    await desk.identity("root");
    const answer = await importing("", {
      provider: "codex",
      threadId: "all-1",
      owner: "ops",
      displayName: "Ünï code",
      labels: { team: "x" },
      parent: "root",
      expires: "30d",
      idleTtl: "24h",
      workspace: null,
    });

    expect(answer).toMatchObject({ imported: 1, identities: 1, credentials: 0, unchanged: 0, failed: [] });
    const { identity } = await desk.ask("identity show codex-all-1");
    expect(identity).toMatchObject({
      kind: "thread",
      provider: "codex",
      threadId: "all-1",
      owner: "ops",
      displayName: "Ünï code",
      labels: { team: "x" },
      parent: "root",
      idleTtl: 86_400,
      createdBy: "alice",
    });
    expect(Date.parse(identity.expiresAt) - Date.parse(identity.createdAt)).toBeCloseTo(30 * 86_400_000, -4);
  });

  it("is a credential whose secret was made elsewhere: it works, and the log names both", async () => {
    const { commitment, file } = await prepare();
    await importing("", {
      slug: "armed",
      owner: "ops",
      credential: { commitment, name: "ci", scopes: ["b", "a:*"], expires: "10d", activateWithin: "1h" },
    });

    const used = await desk.ask(["credential", "activate", "--token-file", file]);

    expect(used.credential).toMatchObject({
      identity: "armed",
      name: "ci",
      scopes: ["a:*", "b"],
      issuedBy: "alice",
    });
    const { events } = await desk.ask("audit --identity armed");
    expect(events.map(({ action }: Answer) => action)).toEqual([
      "credential.activate",
      "credential.issue",
      "identity.create",
    ]);
  });

  it("leaves the owner to --owner", async () => {
    await importing("--owner platform", { slug: "owned-1" }, { slug: "owned-2", owner: "other" });

    expect((await desk.ask("identity show owned-1")).identity.owner).toBe("platform");
    expect((await desk.ask("identity show owned-2")).identity.owner).toBe("other");
  });

  it("may name a parent that comes later, however deep", async () => {
    await importing(
      "--owner o",
      { slug: "leaf", parent: "stem" },
      { slug: "stem", parent: "seed" },
      { slug: "seed" },
    );

    expect((await desk.ask("identity show leaf")).identity.parent).toBe("stem");
    expect((await desk.ask("identity show stem")).identity.parent).toBe("seed");
  });
});

describe("all or nothing", () => {
  it("nothing is there where one line is wrong", async () => {
    const stdin = ndjson({ slug: "good", owner: "o" }, { slug: "Bad", owner: "o" });

    const refusal = await desk.refuse("identity import", { stdin });

    expect(refusal).toMatchObject({ exit: 2, code: "usage", details: { failedTotal: 1, lines: 2 } });
    expect(await exists("good")).toBe(false);
  });

  it("every wrong line is named, those that only the database knows of too", async () => {
    await desk.identity("taken");
    const said = await problems(
      "",
      ndjson({ slug: "taken", owner: "o" }, { slug: "x" }, { slug: "y", owner: "o", parent: "nobody" }),
    );

    expect(said).toEqual({
      1: "taken exists already (--if-not-exists where that is fine)",
      2: "owner is missing (--owner WHO is that of all lines without)",
      3: "there is no machine identity nobody, its parent",
    });
  });

  it("a terminal sees twenty of them, a program a thousand, and both how many there are", async () => {
    const stdin = "{}\n".repeat(1_500);

    const text = await desk.run("identity import", { stdin });
    const { details } = await desk.refuse("identity import", { stdin });

    expect(text.stderr.match(/^ {2}line \d+: /gm)).toHaveLength(20);
    expect(text.stderr).toContain("1500 of 1500 lines cannot be imported; nothing was imported.");
    expect(text.stderr).toContain("  and 1480 more");
    expect(details.failed).toHaveLength(1_000);
    expect(details.failedTotal).toBe(1_500);
  });

  it("--dry-run says what would be, and changes nothing", async () => {
    const answer = await importing("--dry-run", { slug: "tried", owner: "o" });

    expect(answer).toMatchObject({ imported: 1, identities: 1 });
    expect(await exists("tried")).toBe(false);
  });
});

describe("--keep-going", () => {
  it("imports what is right, tells of the rest, and exits 8", async () => {
    const stdin = ndjson(
      { slug: "kept", owner: "o" },
      { slug: "lost" },
      { slug: "child-of-lost", owner: "o", parent: "lost" },
    );

    const result = await desk.run("identity import --keep-going --json", { stdin });

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout)).toMatchObject({
      imported: 1,
      failedTotal: 2,
      failed: [
        { line: 2, code: "usage" },
        { line: 3, message: "its parent lost stands on line 2, and cannot be imported" },
      ],
    });
    expect(await exists("kept")).toBe(true);
    expect(await exists("child-of-lost")).toBe(false);
  });
});

describe("--if-not-exists", () => {
  it("makes an import safe to repeat, credentials included", async () => {
    const { commitment } = await prepare();
    const lines = [
      { slug: "again", owner: "o", labels: { a: "b" }, expires: "30d", credential: { commitment } },
      { slug: "again-child", owner: "o", parent: "again" },
    ];
    await importing("", ...lines);

    const second = await importing("--if-not-exists", ...lines);

    expect(second).toMatchObject({ imported: 0, unchanged: 2, identities: 0, credentials: 0 });
  });

  it("issues the credential of an identity that is there without one", async () => {
    await desk.identity("bare");
    const { commitment } = await prepare();

    const answer = await importing("--if-not-exists", {
      slug: "bare",
      owner: "platform",
      credential: { commitment },
    });

    expect(answer).toMatchObject({ imported: 1, identities: 0, credentials: 1 });
  });

  it("a line that differs from what is there is a conflict that names the difference", async () => {
    await desk.identity("other");

    const refusal = await desk.refuse("identity import --if-not-exists", {
      stdin: ndjson({ slug: "other", owner: "somebody", labels: { a: "b" } }),
    });

    expect(refusal).toMatchObject({
      exit: 5,
      details: { failed: [{ line: 1, message: "other exists and differs in owner, labels" }] },
    });
  });

  it("a name that another secret holds is a conflict", async () => {
    await desk.identity("held");
    const { id } = await desk.issue("held");
    const { commitment } = await prepare();

    const said = await problems(
      "--if-not-exists",
      ndjson({ slug: "held", owner: "platform", credential: { commitment } }),
    );

    expect(said[1]).toBe(`held has ${id} named default already`);
  });
});

describe("what a file gets wrong", () => {
  it("BOM, CRLF and blank lines are no mistakes", async () => {
    const stdin = `\uFEFF{"slug":"bom","owner":"o"}\r\n\r\n   \n{"slug":"crlf","owner":"o"}\r\n{"slug":"unended","owner":"o"}`;

    expect(await desk.ask("identity import", { stdin })).toMatchObject({ imported: 3 });
  });

  it("an empty input is nothing to do", async () => {
    expect(await desk.ask("identity import", { stdin: "" })).toMatchObject({ imported: 0, failedTotal: 0 });
  });

  it("duplicates name both lines: slug, thread, commitment", async () => {
    const { commitment } = await prepare();
    const credential = { commitment };

    const said = await problems(
      "--owner o",
      ndjson(
        { slug: "twin" },
        { slug: "twin" },
        { provider: "codex", threadId: "t9" },
        { slug: "named", provider: "codex", threadId: "t9" },
        { slug: "c-1", credential },
        { slug: "c-2", credential },
      ),
    );

    expect(said).toEqual({
      2: "twin stands on line 1 already",
      4: "this thread of codex stands on line 3 already",
      6: "its commitment stands on line 5 already",
    });
  });

  it("parents that come round to themselves are named by line, and what hangs on them too", async () => {
    const said = await problems(
      "--owner o",
      ndjson({ slug: "a1", parent: "a2" }, { slug: "a2", parent: "a1" }, { slug: "a3", parent: "a2" }),
    );

    expect(said[1]).toBe("its parents come round to itself: line 1 → 2 → 1");
    expect(said[2]).toBe(said[1]);
    expect(said[3]).toBe("its parent a2 stands on line 2, and cannot be imported");
  });

  it("its own parent is a round of one", async () => {
    const said = await problems("--owner o", ndjson({ slug: "self", parent: "self" }));

    expect(said[1]).toBe("its parents come round to itself: line 1 → 1");
  });

  it("a revoked parent is a conflict", async () => {
    await desk.identity("gone");
    await desk.ask("revoke gone --yes");

    const refusal = await desk.refuse("identity import", {
      stdin: ndjson({ slug: "orphan", owner: "o", parent: "gone" }),
    });

    expect(refusal).toMatchObject({
      exit: 5,
      details: { failed: [{ message: "its parent gone is revoked, or an ancestor of that is" }] },
    });
  });

  it("an ended parent that the file repeats is found out as well", async () => {
    await desk.identity("ended");
    await desk.ask("revoke ended --yes");

    const said = await problems(
      "--if-not-exists",
      ndjson({ slug: "ended", owner: "platform" }, { slug: "late", owner: "o", parent: "ended" }),
    );

    expect(said).toEqual({ 2: "its parent ended is revoked, or an ancestor of that is" });
  });

  it("a line of 10 MiB is refused by its number, and the others are judged", async () => {
    const said = await problems("--owner o", `${"x".repeat(10 * 1024 * 1024)}\n{"slug":"No"}\n`);

    expect(said[1]).toBe("it is longer than 1 MiB");
    expect(said[2]).toContain("capital letters");
  });

  it("what is not UTF-8 is named, and not shown", async () => {
    const file = join(desk.directory, "latin1.ndjson");
    writeFileSync(file, Buffer.from('{"slug":"l1","owner":"Jos\u00e9"}\n', "latin1"));

    const { details } = await desk.refuse(["identity", "import", file]);

    expect(details.failed).toEqual([{ line: 1, code: "usage", message: "it is not UTF-8" }]);
  });

  it.each([
    ['{"slug":"x","owner":"o" "y":1}', "it is not JSON, at column 25"],
    ['{"slug":"é","owner":o}', "it is not JSON, at column 21"],
    ['{"slug":"x"', "its JSON ends too soon, at column 12"],
    ["[".repeat(500_000), "its JSON ends too soon, at column 500001"],
    ['["slug"]', "it is not a JSON object"],
    ['{"slug":"x","owner":"o","colour":1}', /^there is no field "colour"/],
    ['{"slug":"x","owner":"o","lables":{}}', 'there is no field "lables" (did you mean labels?)'],
    ['{"slug":"x","owner":3}', "owner is not text"],
    ['{"slug":"x","owner":"o","labels":{"a":1}}', 'labels: the value of "a" is not text'],
    ['{"slug":"x","owner":"o","labels":{"__proto__":"a"}}', /"__proto__" is not a label key/],
    ['{"slug":"x","owner":"o","provider":"codex"}', "provider and threadId go together"],
    ['{"owner":"o"}', "slug is missing, or provider and threadId"],
    ['{"slug":"x","owner":"o","expires":"30"}', /^expires: "30" is not a duration/],
    ['{"slug":"x","owner":"o","parent":"mc_000000000000"}', /^parent: mc_000000000000 is a credential/],
    ['{"provider":"codex","threadId":"No Slug","owner":"o"}', /makes no slug/],
    ['{"slug":"x","owner":"o","credential":{"scopes":["a"]}}', "credential.commitment is missing"],
    ['{"slug":"x","owner":"o","credential":{"commitment":"mcc_x"}}', /this is not a commitment/],
    ['{"slug":"x","owner":"o","credential":{"commitment":1}}', "credential.commitment is not text"],
    ['{"slug":"x","owner":"o","credential":{"secret":"x"}}', /^there is no field "secret" in credential/],
  ])("line %#", async (line, message) => {
    const said = await problems("", ndjson(line, { slug: "fine", owner: "o" }));

    expect(said[1]).toEqual(typeof message === "string" ? message : expect.stringMatching(message));
    expect(said[2]).toBeUndefined();
  });

  it("a commitment of the other kind of environment is refused, and so is one that is known", async () => {
    const { commitment } = await prepare();
    await importing("", { slug: "first", owner: "o", credential: { commitment } });

    const said = await problems(
      "--owner o",
      ndjson(
        { slug: "second", credential: { commitment } },
        { slug: "third", credential: { commitment: `mcc_live_${"a".repeat(12)}_${"b".repeat(64)}` } },
      ),
    );

    expect(said[1]).toMatch(/^its commitment is mc_\w{12} of first already$/);
    expect(said[2]).toBe("its commitment is of a live token, and this environment is test");
  });

  it("no secret of a line is repeated", async () => {
    const { token } = await desk.issue(await desk.identity("leaky"));

    const result = await desk.run("identity import", {
      stdin: ndjson({ slug: "s", owner: token }, { slug: token, owner: "o" }, `{"${token}":1}`),
    });

    expect(result.code).toBe(2);
    expect(result.stdout + result.stderr).not.toContain(token.slice(22));
  });
});

describe("where the lines come from", () => {
  it("a file, a dash for standard input, and what is no file is a usage error", async () => {
    const file = join(desk.directory, "fleet.ndjson");
    writeFileSync(file, ndjson({ slug: "from-file", owner: "o" }));
    mkdirSync(join(desk.directory, "directory"));

    expect(await desk.ask(["identity", "import", file])).toMatchObject({ imported: 1 });
    expect(await importing("-", { slug: "from-dash", owner: "o" })).toMatchObject({ imported: 1 });
    expect(await desk.refuse("identity import directory")).toMatchObject({ exit: 2 });
    expect(await desk.refuse("identity import nowhere")).toMatchObject({ exit: 2 });
  });

  it("a terminal is no place to read them from", async () => {
    const { code, screen } = await openSession(desk, "$midctl identity import").ended;

    expect(code).toBe(2);
    expect(screen).toContain("FILE is missing, and standard input is a terminal");
  });

  it("many lines, more than are held in memory or written at once", async () => {
    const file = join(desk.directory, "many.ndjson");
    const label = "x".repeat(250);
    const lines = Array.from({ length: 4_500 }, (_, n) => ({
      slug: `many-${n}`,
      owner: "o",
      labels: { a: label, b: label, c: label },
      ...(n % 3 === 0 ? {} : { parent: `many-${n % 3 === 1 ? n - 1 : Math.min(n + 1, 4_497)}` }),
    }));
    writeFileSync(file, ndjson(...lines));

    expect(await desk.ask(["identity", "import", file])).toMatchObject({ imported: 4_500 });
    expect((await desk.ask("identity show many-5")).identity).toMatchObject({
      parent: "many-6",
      labels: { c: label },
    });
  });
});
