import { copyFileSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

/** Runbooks: a file that says all of a campaign, judged line by line, and run by the engine that flags run. */
let desk: Desk;
let secrets: string;
let made = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk?.dispose());
beforeEach(() => {
  made++;
  secrets = mkdtempSync(join(desk.directory, "secrets-"));
});

/** Writes a runbook, and returns its path. */
function write(text: string): string {
  const path = join(desk.directory, `runbook-${made}.yaml`);
  writeFileSync(path, text);
  return path;
}

/** A runbook that is right, but for what is said. */
const right = (more = "", select = "select: {all: true}") =>
  `version: 1\nname: some-rotation\n${select}\ndelivery: {files: ${secrets}}\n${more}`;

async function fleetOf(owner: string): Promise<string> {
  const slug = `bot-${made}`;
  await desk.ask(["identity", "create", slug, "--owner", owner]);
  await desk.activeCredential(slug);
  return slug;
}

describe("check", () => {
  it("says a runbook back that is right", async () => {
    const said = await desk.ask([
      ...["runbook", "check"],
      write(right("grace: 2h\nbatches: {size: 7, pause: 1m}\nproof: {within: 1d}\n")),
    ]);

    expect(said).toMatchObject({
      ...{ name: "some-rotation", grace: 7200, batch: 7, pause: 60, waitProof: 86_400 },
      ...{ delivery: "files", compromised: false, maxFailures: 0, health: null, parameters: [] },
    });
    expect(said.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    [
      "an unknown key, with what was meant",
      right("gracee: 1h\n"),
      5,
      '"gracee" is not known; did you mean grace?',
    ],
    ["one inside another", right("health: {comand: x}\n"), 5, "did you mean command?"],
    ["what is missing", "version: 1\nname: x\nselect: {all: true}\n", 1, "delivery is missing"],
    ["another kind of value", right("grace: 3600\n"), 5, "grace is to be a text"],
    ["a duration that is none", right("grace: 1 hour\n"), 5, "grace is to be a duration"],
    ["a grace above 24h", right("grace: 25h\n"), 5, "too long a duration. The longest is 1d"],
    ["another version", right().replace("version: 1", "version: 2"), 1, "version is to be 1"],
    ["a duplicate key", right("grace: 1h\ngrace: 2h\n"), 6, "unique"],
    ["an alias", right("reason: &a x\ndescription: *a\n"), 5, "anchors are not taken"],
    ["a tag", right("reason: !!js/function x\n"), 5, "tag"],
    ["a tag of YAML's own", right('grace: !!str "1h"\n'), 5, "tags are not taken"],
    ["a key that no reader sees", right("", "select: {owner: x, labels: {__proto__: x}}"), 3, "__proto__"],
    [
      "what is no file of a target",
      right().replace(`{files: ${secrets}}`, "{files: './s/{slag}'}"),
      4,
      "placeholder",
    ],
    [
      "a command that leaves a quote open",
      right(`health: {command: "check 'it"}\n`),
      5,
      "leaves a quote open",
    ],
    ["two documents", right("---\nversion: 1\n"), 5, "document"],
    [
      "two ways of delivery",
      right().replace("files:", "command: cat, files:"),
      4,
      "either files or a command",
    ],
    ["two selections", right("", "select: {all: true, owner: x}"), 3, "select is either all"],
    ["no selection", right("", "select: {}"), 3, "select is either all"],
    ["a slug that is none", right("", "select: {identities: [bot, No Slug]}"), 3, "select.identities.1"],
    ["a parameter that there is not", right("", "select: {owner: '${who}'}"), 3, "stands for nothing"],
    ["grace of what is compromised", right("grace: 1h\ncompromised: true\n"), 5, "gets no grace"],
    ["a list", "- version: 1\n", 1, "is to be a mapping"],
    ["nothing at all", "", 1, "is missing"],
    ["no YAML", "version: [1\n", 2, "flow"],
    ["thousands of brackets", "[".repeat(60_000), 1, ""],
  ])("names the line of %s", async (_, text, line, message) => {
    const refusal = await desk.refuse(["runbook", "check", write(text)]);

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    const failed = refusal.details.failed as { line: number; message: string }[];
    expect(
      failed
        .map((fault) => fault.message)
        .join("\n")
        .toLowerCase(),
    ).toContain(message.toLowerCase());
    expect(failed.map((fault) => fault.line)).toContain(line);
  });

  it("refuses what is no UTF-8, whose bytes two readers could take for two things", async () => {
    const path = write("");
    writeFileSync(path, Buffer.from(right("reason: caf\xe9\n"), "latin1"));

    expect((await desk.refuse(["runbook", "check", path])).details.failed).toEqual([
      { line: 5, message: "it is no UTF-8" },
    ]);
  });

  it("names every wrong line to a person, in order", async () => {
    const { stderr } = await desk.run(["runbook", "check", write(right("gracee: 1h\nbatchs: {}\n"))]);

    expect(stderr).toMatch(
      /2 things are wrong; nothing was changed\.\n {2}line 5: "gracee".*\n {2}line 6: "batchs"/,
    );
  });

  it.each([
    ["a file of a megabyte", () => write(`# ${"x".repeat(1_048_576)}\n`), "is too large"],
    ["a directory", () => secrets, "is no regular file"],
    ["a file that there is not", () => join(secrets, "none.yaml"), "ENOENT"],
  ])("refuses %s", async (_, path, message) => {
    const refusal = await desk.refuse(["runbook", "check", path()]);

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringContaining(message) });
  });

  it.each(readdirSync("docs/runbooks").filter((name) => name.endsWith(".yaml")))(
    "takes %s, which is shipped",
    async (name) => {
      const path = join(desk.directory, name);
      copyFileSync(join("docs/runbooks", name), path);

      expect(await desk.ask(["runbook", "check", path])).toMatchObject({ name: name.replace(".yaml", "") });
    },
  );
});

describe("plan", () => {
  it("shows whom it would rotate and into which file, and changes nothing", async () => {
    const slug = await fleetOf("planner");
    const file = write(right("", "select: {owner: planner}"));

    const { results } = await desk.ask(["runbook", "plan", file]);

    expect(results).toMatchObject([
      { identity: slug, state: "open", tokenFile: join(secrets, `${slug}.token`) },
    ]);
    expect(readdirSync(secrets)).toEqual([]);
  });
});

describe("run", () => {
  it("rotates whom its parameters say, and the log has its reason", async () => {
    const slug = await fleetOf(`owner-${made}`);
    const file = write(
      right("parameters: {who: whose}\nreason: '${who} left'\n", "select: {owner: '${who}'}"),
    );

    const { campaign, results } = await desk.ask([
      ...["runbook", "run", file, "--set", `who=owner-${made}`, "--yes"],
    ]);

    expect(results).toMatchObject([{ identity: slug, state: "delivered" }]);
    const { events } = await desk.ask(["audit", "--identity", slug]);
    expect(events[0].reason).toBe(`owner-${made} left (${campaign.id})`);
  });

  it.each([
    ["without a value for a parameter", [], /wants who \(whose\)/],
    ["with a value for none", ["--set", "who=x", "--set", "other=y"], /has no parameter "other"/],
    ["with two values for one", ["--set", "who=x", "--set", "who=y"], /is set twice/],
  ])("changes nothing %s", async (_, words, message) => {
    const file = write(right("parameters: {who: whose}\n", "select: {owner: '${who}'}"));

    const refusal = await desk.refuse(["runbook", "run", file, ...words, "--yes"]);

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringMatching(message) });
  });

  it("takes a value as a word, whatever YAML would read in it", async () => {
    const file = write(right("parameters: {who: whose}\n", "select: {owner: '${who}'}"));

    const refusal = await desk.refuse(["runbook", "run", file, "--set", "who=x', all: true, x: '", "--yes"]);

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringContaining("Nobody of this selection") });
  });

  it("stops where its health check says so, and resume goes on by the same file", async () => {
    await fleetOf(`owner-${made}`);
    const second = `${await fleetOf(`owner-${made}`).catch(() => "")}`;
    expect(second).toBe("");
    await desk.ask(["identity", "create", `bot-${made}-2`, "--owner", `owner-${made}`]);
    await desk.activeCredential(`bot-${made}-2`);
    const health = join(desk.directory, `health-${made}`);
    writeFileSync(health, "#!/bin/sh\nexit 1\n", { mode: 0o700 });
    const file = write(
      right(`batches: {size: 1}\nhealth: {command: ${health}}\n`, `select: {owner: owner-${made}}`),
    );

    const stopped = await desk.run(["runbook", "run", file, "--yes", "--json"]);
    expect(stopped.code).toBe(8);
    const { id, problem } = JSON.parse(stopped.stdout).campaign;
    expect(problem).toMatch(/health check/);
    writeFileSync(health, "#!/bin/sh\nexit 0\n", { mode: 0o700 });

    const { campaign } = await desk.ask(["runbook", "resume", id, "--runbook", file]);

    expect(campaign).toMatchObject({ status: "done", delivered: 2 });
  });

  it("is not gone on with by another file", async () => {
    await fleetOf(`owner-${made}`);
    const file = write(right("", `select: {owner: owner-${made}}`));
    const { campaign } = await desk.ask(["runbook", "run", file, "--yes"]);
    writeFileSync(file, `${readFileSync(file, "utf8")}# changed\n`);

    const refusal = await desk.refuse(["runbook", "resume", campaign.id, "--runbook", file]);

    expect(refusal).toMatchObject({ exit: 5, message: expect.stringContaining("begun by some-rotation") });
  });

  it("writes progress as JSON lines off a terminal where the result is JSON", async () => {
    await fleetOf(`owner-${made}`);
    const file = write(right("", `select: {owner: owner-${made}}`));

    const { stderr } = await desk.run(["runbook", "run", file, "--yes", "--json"]);

    const steps = stderr.split("\n").filter((line) => line.startsWith('{"progress"'));
    expect(steps.map((line) => JSON.parse(line).progress)).toMatchObject([{ done: 1, failed: 0, of: 1 }]);
  });

  it("where nothing is protected a receipt has no approval, and is signed all the same", async () => {
    const production = await openProtectedDesk();
    const key = production.trust.keyFile("alice");
    await fleetOf(`owner-${made}`);
    const file = write(right("", `select: {owner: owner-${made}}`));
    const receipt = join(desk.directory, "receipt.json");

    await desk.ask(["runbook", "run", file, "--yes", "--receipt", receipt, "--key", key]);

    await production.dispose();
    expect(JSON.parse(readFileSync(receipt, "utf8"))).toMatchObject({
      ...{ approval: null, status: "done", runbook: { name: "some-rotation" } },
    });
    expect(readFileSync(`${receipt}.sig`, "utf8")).toMatch(/^-----BEGIN SSH SIGNATURE-----/);
  });

  it("refuses a receipt that nobody would sign, and one that is there already", async () => {
    const file = write(right());
    const there = join(desk.directory, "there.json");
    writeFileSync(there, "");

    expect(await desk.refuse(["runbook", "run", file, "--yes", "--receipt", there])).toMatchObject({
      exit: 2,
    });
  });
});

describe("where protected", () => {
  let production: ProtectedDesk;
  beforeAll(async () => {
    production = await openProtectedDesk({ quorum: 1 });
  });
  afterAll(() => production?.dispose());

  it("asks once, and goes on by the runbook when that is approved", async () => {
    const place = mkdtempSync(join(production.directory, "secrets-"));
    const old = join(place, "bot.token");
    await production.carryThrough(`credential issue bot --create --owner platform --token-file ${old}`);
    await production.ask(["credential", "activate", "--token-file", old]);
    const file = join(production.directory, "rotation.yaml");
    writeFileSync(file, `version: 1\nname: rotation\nselect: {all: true}\ndelivery: {files: ${place}}\n`);
    const key = production.trust.keyFile("alice");

    const asked = await production.refuse(["runbook", "run", file, "--key", key]);
    const { approval, campaign } = asked.details as Answer;
    await production.approve(approval);
    const { results } = await production.ask(["runbook", "resume", campaign, "--runbook", file]);

    expect(asked).toMatchObject({ exit: 6, hint: expect.stringContaining(`--runbook ${file}`) });
    expect(results).toMatchObject([{ identity: "bot", state: "delivered" }]);
    const activated = await production.ask(["credential", "activate", "--token-file", old]);
    expect(activated).toMatchObject({ credential: { id: results[0].credential, status: "active" } });
  });
});
