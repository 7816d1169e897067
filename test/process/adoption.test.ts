import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { ENTER, openSession } from "./pty.ts";

/** `identity adopt`, `list tokens --legacy` and `token sunset` by the program itself. */
let desk: Desk;
let count = 0;
let plan: string;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  await desk.sql(`DELETE FROM agent_token WHERE "machineIdentityId" IS NULL`);
  plan = join(desk.directory, `plan-${++count}.ndjson`);
});

const secretOf = (ref: string): string => `kanagent_${ref.slice(3)}`;

/** A token as an application made it before there were identities; returns its reference. */
async function legacy(name = "Old Bot"): Promise<string> {
  const ref = `at_legacy${String(++count).padStart(6, "0")}`;
  await desk.sql(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes) VALUES ($1, $2, 'kanagent', $3, '["cards:read"]')`,
    [ref.slice(3), name, createHash("sha256").update(secretOf(ref)).digest("hex")],
  );
  return ref;
}

const actorOf = async (ref: string): Promise<Answer> =>
  (await desk.ask("verify", { stdin: secretOf(ref) })).actor;

/** The plan as an editor would leave it. */
function edit(change: (line: Answer, index: number) => unknown): void {
  const lines = readFileSync(plan, "utf8").trimEnd().split("\n");
  writeFileSync(
    plan,
    `${lines.map((line, index) => JSON.stringify(change(JSON.parse(line), index))).join("\n")}\n`,
  );
}

describe("identity adopt", () => {
  it("gives a token an identity, and its secret goes on working", async () => {
    const ref = await legacy();

    const adopted = await desk.ask([
      "identity",
      "adopt",
      ref,
      "--slug",
      `adopted-${count}`,
      "--owner",
      "you",
    ]);

    expect(adopted).toMatchObject({
      changed: true,
      created: true,
      token: ref,
      identity: { displayName: "Old Bot", owner: "you", workspace: null },
      credential: { id: `mc_${ref.slice(3)}`, adopted: true, effectiveStatus: "active" },
    });
    expect(await actorOf(ref)).toMatchObject({ kind: "machine_identity", slug: adopted.identity.slug });
  });

  it("says what it did, and what may be done next, without a secret", async () => {
    const ref = await legacy();

    const { code, stdout, stderr } = await desk.run([
      "identity",
      "adopt",
      ref,
      "--slug",
      `said-${count}`,
      "--owner",
      "you",
    ]);

    expect(code).toBe(0);
    expect(stdout).toContain(`mc_${ref.slice(3)}`);
    expect(stderr).toContain(`Adopted ${ref} as mc_${ref.slice(3)}`);
    expect(stdout + stderr).not.toContain(secretOf(ref));
  });

  it("makes a thread's identity of thread and provider", async () => {
    const ref = await legacy();
    const words = ["--thread", `t${count}`, "--provider", "codex", "--owner", "you"];

    expect(await desk.ask(["identity", "adopt", ref, ...words])).toMatchObject({
      identity: { slug: `codex-t${count}`, kind: "thread" },
    });
  });

  it("repeated without a description finds the identity by itself, and changes nothing", async () => {
    const ref = await legacy();
    await desk.ask(["identity", "adopt", ref, "--slug", `found-${count}`, "--owner", "you", "--name", "ci"]);

    expect(await desk.ask(["identity", "adopt", ref])).toMatchObject({
      changed: false,
      created: false,
      identity: { slug: `found-${count}` },
    });
  });

  it.each([
    ["no slug", [], "--slug"],
    ["no owner", ["--slug", "ownerless"], "--owner"],
  ])("off a terminal with %s is a usage error that names the flag", async (_, words, flag) => {
    const ref = await legacy();

    expect(await desk.refuse(["identity", "adopt", ref, ...words])).toMatchObject({
      exit: 2,
      code: "usage",
      message: expect.stringContaining(flag),
    });
  });

  it.each([
    ["mc_000000000000", "no token"],
    ["deploy-bot", "no token"],
  ])("of %s is a usage error", async (ref, message) => {
    expect(await desk.refuse(["identity", "adopt", ref])).toMatchObject({
      exit: 2,
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ["--all", "--all goes with --plan"],
    ["--plan x", "--plan goes with --all"],
    ["--all --plan x --slug y", "--slug does not go with --all"],
    ["at_000000000000 --apply x", "REF does not go with --apply"],
    ["at_000000000000 --identity x --display-name y", "--display-name does not go with --identity"],
  ])("refuses %s, which mean different things", async (words, message) => {
    expect(await desk.refuse(`identity adopt ${words}`)).toMatchObject({
      exit: 2,
      message: expect.stringContaining(message),
    });
    expect(existsSync(join(desk.directory, "x"))).toBe(false);
  });

  it("is what pausing a legacy token suggests, and it works", async () => {
    const ref = await legacy();
    const { hint } = await desk.refuse(["pause", ref]);

    expect(hint).toContain(`midctl identity adopt ${ref}`);
    await desk.ask(["identity", "adopt", ref, "--slug", `pausable-${count}`, "--owner", "you"]);
    expect(await desk.ask(["pause", ref])).toMatchObject({ results: [{ changed: true }] });
  });
});

describe("a plan", () => {
  it("is proposed into a private file of a line for each token, and applied as it was edited", async () => {
    const [first, second] = [await legacy("Codex"), await legacy("Codex")];

    const proposed = await desk.ask(["identity", "adopt", "--all", "--plan", plan]);
    edit((line, index) => ({ ...line, slug: `edited-${count}-${index}`, owner: "platform" }));
    const applied = await desk.ask(["identity", "adopt", "--apply", plan, "--yes"]);

    expect(proposed).toMatchObject({
      plan,
      withoutOwner: 2,
      proposals: [
        { token: first, name: "Codex", slug: "codex", displayName: "Codex", owner: "" },
        { token: second, slug: "codex-2" },
      ],
    });
    expect(statSync(plan).mode & 0o777).toBe(0o600);
    expect(applied).toMatchObject({ adopted: 2, unchanged: 0, created: 2 });
    expect(await actorOf(second)).toMatchObject({ slug: `edited-${count}-1`, owner: "platform" });
    expect(await desk.ask(["identity", "adopt", "--apply", plan, "--yes"])).toMatchObject({
      adopted: 0,
      unchanged: 2,
    });
  });

  it("proposed changes nothing, and on a dry run writes nothing either", async () => {
    const ref = await legacy();

    expect(await desk.ask(["identity", "adopt", "--all", "--plan", plan, "--dry-run"])).toMatchObject({
      plan: null,
      proposals: [{ token: ref }],
    });
    expect(existsSync(plan)).toBe(false);
    expect(await actorOf(ref)).toMatchObject({ kind: "legacy_token" });
  });

  it("is never written over a file that is there", async () => {
    await legacy();
    writeFileSync(plan, "mine");

    expect(await desk.refuse(["identity", "adopt", "--all", "--plan", plan])).toMatchObject({
      exit: 5,
      code: "conflict",
    });
    expect(readFileSync(plan, "utf8")).toBe("mine");
  });

  it("with errors is refused with the numbers of their lines, and nothing is adopted", async () => {
    const refs = [await legacy(), await legacy(), await legacy(), await legacy()];
    await desk.ask(["identity", "adopt", "--all", "--plan", plan, "--owner", "ops"]);
    edit((line, index) => {
      if (index === 1) return { ...line, slug: "Not A Slug" };
      return index === 2 ? { ...line, onwer: "x" } : index === 3 ? { ...line, owner: "" } : line;
    });

    expect(await desk.refuse(["identity", "adopt", "--apply", plan, "--yes"])).toMatchObject({
      exit: 2,
      code: "usage",
      message: expect.stringMatching(/^3 of 4 lines cannot be applied; nothing was changed: line 2: /),
      details: {
        lines: [
          { line: 2, what: expect.stringContaining("is not a slug") },
          { line: 3, what: expect.stringContaining(`there is no "onwer"`) },
          { line: 4, what: "the owner is empty" },
        ],
      },
    });
    expect(await actorOf(refs[0] as string)).toMatchObject({ kind: "legacy_token" });
  });

  it.each([
    ["not there", undefined, "ENOENT"],
    ["empty", "\n\n", "holds no line"],
    ["not JSON", "{\n", "line 1: this is not JSON"],
    ["not UTF-8", Buffer.from([0xff, 0x0a]), "is not UTF-8"],
  ])("that is %s is a usage error", async (_, content, message) => {
    if (content !== undefined) writeFileSync(plan, content);

    expect(await desk.refuse(["identity", "adopt", "--apply", plan, "--yes"])).toMatchObject({
      exit: 2,
      message: expect.stringContaining(message),
    });
  });

  it("takes an owner for the lines that have none", async () => {
    await legacy();
    await desk.ask(["identity", "adopt", "--all", "--plan", plan]);
    edit((line) => ({ ...line, slug: `owned-${count}` }));

    await desk.ask(["identity", "adopt", "--apply", plan, "--owner", "ops", "--yes"]);

    expect((await desk.ask(`identity show owned-${count}`)).identity.owner).toBe("ops");
  });

  it("is confirmed by typing on a terminal, by --yes off it", async () => {
    const ref = await legacy();
    await desk.ask(["identity", "adopt", "--all", "--plan", plan, "--owner", "ops"]);
    edit((line) => ({ ...line, slug: `typed-${count}` }));
    expect(await desk.refuse(["identity", "adopt", "--apply", plan])).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("--yes"),
    });

    const session = openSession(desk, `$midctl identity adopt --apply ${plan}`);
    await session.shows("type adopt 1");
    session.type(`adopt 1${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect(await actorOf(ref)).toMatchObject({ slug: `typed-${count}` });
  });
});

describe("list tokens --legacy", () => {
  it("shows name, scopes and what each is, for people too", async () => {
    const ref = await legacy("Codex on laptop");

    expect((await desk.ask("list tokens --legacy")).tokens).toMatchObject([
      { id: ref, legacy: true, name: "Codex on laptop", scopes: ["cards:read"], effectiveStatus: "active" },
    ]);
    expect((await desk.run("list tokens --legacy")).stdout).toMatch(
      new RegExp(`${ref}\\t\\(legacy\\)\\tCodex on laptop\\tactive.*cards:read`),
    );
  });

  it("takes the status refused for tokens alone", async () => {
    expect(await desk.ask("list tokens --status refused")).toMatchObject({ tokens: [] });
    expect(await desk.refuse("list --status refused")).toMatchObject({
      exit: 2,
      hint: "midctl list tokens --status refused",
    });
  });
});

describe("token sunset", () => {
  it("ends what was not adopted at that date, and repeated changes nothing", async () => {
    const ref = await legacy();

    const done = await desk.ask("token sunset --after 2098-01-01 --yes");

    expect(done).toMatchObject({ changed: true, endsAt: "2098-01-01T00:00:00.000Z", ended: 1 });
    expect((await desk.ask("list tokens --legacy")).tokens).toMatchObject([
      { id: ref, expiresAt: "2098-01-01T00:00:00.000Z" },
    ]);
    expect(await desk.ask("token sunset --after 2098-01-01")).toMatchObject({ changed: false, ended: 0 });
    expect((await desk.ask("audit --action token.update")).events[0]).toMatchObject({
      credential: ref,
      actor: { name: "alice" },
      details: { expiresAt: [null, "2098-01-01T00:00:00.000Z"] },
    });
  });

  it("is confirmed by typing on a terminal, by --yes off it", async () => {
    await legacy();
    expect(await desk.refuse("token sunset --after 30d")).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("--yes"),
    });

    const session = openSession(desk, "$midctl token sunset --after 2098-01-01");
    await session.shows("type sunset 1");
    session.type(`sunset 1${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect((await desk.ask("list tokens --legacy")).tokens).toMatchObject([
      { expiresAt: "2098-01-01T00:00:00.000Z" },
    ]);
  });

  it.each([
    ["2020-01-01", "not in the future"],
    ["2027-02-30", "no date"],
    ["soon", "no date"],
  ])("after %s is a usage error", async (date, message) => {
    expect(await desk.refuse(`token sunset --after ${date} --yes`)).toMatchObject({
      exit: 2,
      message: expect.stringContaining(message),
    });
  });
});
