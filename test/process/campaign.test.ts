import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, type Desk, openDesk } from "./desk.ts";

/** Rotating many: secrets into files or to a command, batch by batch, and on from where it stopped. */
let desk: Desk;
/** Each test's own: a label, and a directory. */
let team: string;
let secrets: string;
let made = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk?.dispose());
beforeEach(() => {
  team = `team-${++made}`;
  secrets = mkdtempSync(join(desk.directory, "secrets-"));
});

/** Identities of this test's label, each with an active credential, whose secrets are returned. */
async function makeFleet(
  size: number,
): Promise<readonly { readonly slug: string; readonly token: string }[]> {
  const fleet = [];
  for (let at = 1; at <= size; at++) {
    const slug = await desk.identity(`${team}-${at}`, "--label", `team=${team}`);
    fleet.push({ slug, token: (await desk.activeCredential(slug)).token });
  }
  return fleet;
}

const rotate = (...words: string[]) => ["credential", "rotate", "--label", `team=${team}`, "--yes", ...words];
const toFiles = (...words: string[]) => rotate("--token-file-dir", secrets, ...words);
const resume = (id: string, ...words: string[]) => [
  "runbook",
  "resume",
  id,
  "--token-file-dir",
  secrets,
  ...words,
];
const fileOf = (slug: string) => join(secrets, `${slug}.token`);
const secretOf = (slug: string) => readFileSync(fileOf(slug), "utf8").trim();
const verify = async (token: string) =>
  JSON.parse((await desk.run("verify --json", { stdin: `${token}\n` })).stdout);
const activate = (token: string) => desk.ask("credential activate", { stdin: `${token}\n` });
const names = (answer: Answer) => answer.results.map(({ identity }: Answer) => identity);

/** A script in the desk's directory, by its path. */
function script(name: string, lines: string): string {
  const path = join(desk.directory, `${team}-${name}`);
  writeFileSync(path, `#!/bin/sh\n${lines}\n`, { mode: 0o700 });
  return path;
}

/** Looks until it is so; a test that waits in vain runs out of its time. */
async function until(so: () => boolean): Promise<void> {
  while (!so()) await new Promise((resolve) => setImmediate(resolve));
}

describe("into files", () => {
  it("gives each of a selection its new secret, and the old one works until that is used", async () => {
    const [first, second] = await makeFleet(2);

    const { campaign, results } = await desk.ask(toFiles());

    expect(campaign).toMatchObject({ status: "done", targets: 2, delivered: 2, failed: 0, proven: 0 });
    expect(results).toMatchObject([
      { identity: first?.slug, state: "delivered", tokenFile: fileOf(first?.slug ?? ""), problem: null },
      { identity: second?.slug, state: "delivered" },
    ]);
    expect(statSync(fileOf(first?.slug ?? "")).mode & 0o777).toBe(0o600);
    expect(await verify(first?.token ?? "")).toMatchObject({ credential: { effectiveStatus: "active" } });
    await activate(secretOf(first?.slug ?? ""));
    expect(await verify(first?.token ?? "")).toMatchObject({ credential: { effectiveStatus: "grace" } });
    expect(await verify(second?.token ?? "")).toMatchObject({ credential: { effectiveStatus: "active" } });
  });

  it("replaces the secret that a file holds, in one step, and leaves nothing beside it", async () => {
    const [one] = await makeFleet(1);
    await desk.ask(toFiles());
    const before = secretOf(one?.slug ?? "");
    await activate(before);

    await desk.ask(toFiles());

    expect(secretOf(one?.slug ?? "")).not.toBe(before);
    expect(readdirSync(secrets)).toEqual([`${one?.slug}.token`]);
  });

  it("takes the names given, or those on standard input", async () => {
    const [first, second, third] = (await makeFleet(3)).map(({ slug }) => slug) as [string, string, string];
    const words = ["--token-file-dir", secrets, "--yes"];

    const named = await desk.ask(["credential", "rotate", first, second, ...words]);
    const piped = await desk.ask(["credential", "rotate", "-", ...words], {
      stdin: `\ufeff${third}\r\n\r\n`,
    });

    expect([names(named), names(piped)]).toEqual([[first, second], [third]]);
  });

  it("makes the directories that a template asks for, for us alone", async () => {
    const [one] = await makeFleet(1);

    await desk.ask(rotate("--token-file-dir", join(secrets, "{label.team}", "{slug}", "token")));

    const place = join(secrets, team, one?.slug ?? "");
    expect(await verify(readFileSync(join(place, "token"), "utf8").trim())).toMatchObject({ ok: true });
    expect(statSync(place).mode & 0o777).toBe(0o700);
  });

  it("leaves out whoever holds nothing to rotate, and says so", async () => {
    const [one] = await makeFleet(1);
    const bare = await desk.identity(`${team}-bare`, "--label", `team=${team}`);

    const { stdout, stderr } = await desk.run([...toFiles(), "--json"]);

    expect(names(JSON.parse(stdout))).toEqual([one?.slug]);
    expect(stderr).toContain(`${bare} holds no current credential named default, and is left out.`);
  });

  it("names the campaign in the log", async () => {
    const [one] = await makeFleet(1);

    const { campaign } = await desk.ask(toFiles("--reason", "quarterly"));

    const { events } = await desk.ask(["audit", "--identity", one?.slug ?? ""]);
    expect(events[0]).toMatchObject({ action: "credential.issue", reason: `quarterly (${campaign.id})` });
  });
});

describe("a file that holds another secret", () => {
  it.each([
    ["of another identity", async () => (await desk.issue(await desk.identity(`${team}-other`))).token],
    [
      "that waits to be issued",
      async () => {
        await desk.ask([
          "credential",
          "prepare",
          "--environment",
          "test",
          "--token-file",
          `./${team}.prepared`,
        ]);
        return readFileSync(join(desk.directory, `${team}.prepared`), "utf8").trim();
      },
    ],
  ])("%s is not replaced, and nothing is issued", async (_, make) => {
    const [first, second] = await makeFleet(2);
    const held = await make();
    writeFileSync(fileOf(first?.slug ?? ""), `${held}\n`, { mode: 0o600 });

    const { code, stdout } = await desk.run([...toFiles("--max-failures", "1"), "--json"]);

    expect(code).toBe(8);
    expect(JSON.parse(stdout).results).toMatchObject([
      { state: "failed", credential: null, problem: expect.stringContaining("is not replaced") },
      { identity: second?.slug, state: "delivered" },
    ]);
    expect(secretOf(first?.slug ?? "")).toBe(held);
    expect(readdirSync(secrets)).toHaveLength(2);
  });

  it("of the same identity, however old, is replaced", async () => {
    const [one] = await makeFleet(1);
    writeFileSync(fileOf(one?.slug ?? ""), `${one?.token}\n`, { mode: 0o600 });
    await desk.ask(toFiles());
    await activate(secretOf(one?.slug ?? ""));
    writeFileSync(fileOf(one?.slug ?? ""), `${one?.token}\n`, { mode: 0o600 });

    const { results } = await desk.ask(toFiles());

    expect(results).toMatchObject([{ state: "delivered" }]);
  });
});

describe("before anything is changed", () => {
  async function refused(...words: string[]) {
    const refusal = await desk.refuse(words);
    expect((await desk.ask("runbook status")).campaigns.map(({ id }: Answer) => id)).toEqual(begun);
    expect(readdirSync(secrets)).toEqual([]);
    return refusal;
  }
  let begun: string[];
  beforeEach(async () => {
    await makeFleet(2);
    begun = (await desk.ask("runbook status")).campaigns.map(({ id }: Answer) => id);
  });

  it.each([
    ["a template that is the same file for two", "{label.team}", /would have the same file/],
    ["a template that leaves its directory", "{slug}/../../etc", /is no name of a file in the directory/],
    ["a placeholder that there is not", "{secret}", /a placeholder that there is not/],
    ["what a target has not got", "{provider}", /which the template asks for/],
  ])("refuses %s", async (_, template, message) => {
    expect(await refused(...rotate("--token-file-dir", `${secrets}/${template}`))).toMatchObject({
      exit: 2,
      message: expect.stringMatching(message),
    });
  });

  it("refuses a directory that there is not", async () => {
    expect(await refused(...rotate("--token-file-dir", join(secrets, "none")))).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("mkdir -m 700"),
    });
  });

  it("refuses a name that there is not, among others that there are", async () => {
    const words = [`${team}-1`, `${team}-nobody`, "--token-file-dir", secrets, "--yes"];

    expect(await refused("credential", "rotate", ...words)).toMatchObject({ exit: 3, code: "not_found" });
  });

  it("refuses a line of standard input that is no slug, by its number", async () => {
    const words = ["credential", "rotate", "-", "--token-file-dir", secrets, "--yes"];

    const refusal = await desk.refuse(words, { stdin: `${team}-1\nNo Slug\n` });

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringMatching(/^Line 2 of standard input: /) });
  });

  it.each([
    ["nothing that says where the secrets go", []],
    ["two ways of delivery", ["--token-file-dir", ".", "--deliver-exec", "true"]],
    ["a file for one", ["--token-file-dir", ".", "--token-file", "./one"]],
    ["--compromised with a command that may fail", ["--deliver-exec", "true", "--compromised"]],
    ["--compromised with a grace", ["--token-file-dir", ".", "--compromised", "--grace", "1h"]],
    ["a directory to wait in, without a command", ["--token-file-dir", ".", "--stage-dir", "."]],
    ["--all beside a label", ["--token-file-dir", ".", "--all"]],
  ])("refuses %s", async (_, words) => {
    expect(await refused(...rotate(...words))).toMatchObject({ exit: 2, code: "usage" });
  });

  it("refuses many off a terminal without --yes", async () => {
    expect(await refused(...toFiles().filter((word) => word !== "--yes"))).toMatchObject({ exit: 2 });
  });

  it("on a dry run says who would be rotated into which file", async () => {
    const { results } = await desk.ask(toFiles("--dry-run"));

    expect(results).toMatchObject([
      { identity: `${team}-1`, tokenFile: fileOf(`${team}-1`), state: "open", credential: null },
      { identity: `${team}-2`, tokenFile: fileOf(`${team}-2`) },
    ]);
    expect(readdirSync(secrets)).toEqual([]);
    expect((await desk.ask("runbook status")).campaigns.map(({ id }: Answer) => id)).toEqual(begun);
  });
});

describe("to a command", () => {
  it("hands each secret to its standard input, and to nothing else", async () => {
    const [one] = await makeFleet(1);
    const record = join(secrets, "record");
    const command = script(
      "take",
      `cat > "${record}.$1"; echo "$0 $*" > "${record}.args"; env > "${record}.env"`,
    );

    const { results } = await desk.ask(rotate("--deliver-exec", `${command} {slug} {credential} {name}`));

    const secret = readFileSync(`${record}.${one?.slug}`, "utf8");
    const [{ credential }] = results;
    expect(await verify(secret.trim())).toMatchObject({ ok: true, credential: { id: credential } });
    expect(readFileSync(`${record}.args`, "utf8")).toBe(`${command} ${one?.slug} ${credential} default\n`);
    const environment = readFileSync(`${record}.env`, "utf8");
    expect(environment).not.toContain(secret.trim().slice(-20));
    expect(environment).not.toContain("MIDCTL_DATABASE_URL");
  });

  it.each([
    ["fails", "exit 3", /ended with exit code 3/],
    ["hangs", "sleep 60", /took longer than 1 s/],
  ])("that %s leaves the old credential, and one that authenticates nobody", async (_, lines, message) => {
    const [one] = await makeFleet(1);
    const command = script("fails", lines);

    const { code, stdout } = await desk.run([
      ...rotate("--deliver-exec", command, "--deliver-timeout", "1s", "--json"),
    ]);

    const { campaign, results } = JSON.parse(stdout);
    expect(code).toBe(8);
    expect(campaign).toMatchObject({ status: "stopped", failed: 1, delivered: 0 });
    expect(results).toMatchObject([{ state: "failed", problem: expect.stringMatching(message) }]);
    expect(await desk.ask(["credential", "show", results[0].credential])).toMatchObject({
      credential: { status: "revoked" },
    });
    expect(await verify(one?.token ?? "")).toMatchObject({ credential: { effectiveStatus: "active" } });
  });

  it("that failed is run again by resume, with another secret", async () => {
    const [one] = await makeFleet(1);
    const taken = join(secrets, "taken");
    const command = script(
      "second",
      `[ -e "${taken}.once" ] || { touch "${taken}.once"; exit 1; }; cat > "${taken}"`,
    );
    const stopped = JSON.parse((await desk.run(rotate("--deliver-exec", command, "--json"))).stdout);

    const { campaign } = await desk.ask([
      "runbook",
      "resume",
      stopped.campaign.id,
      "--deliver-exec",
      command,
    ]);

    expect(campaign).toMatchObject({ status: "done", delivered: 1, failed: 0 });
    expect(await verify(readFileSync(taken, "utf8").trim())).toMatchObject({ actor: { slug: one?.slug } });
  });
});

describe("between batches", () => {
  it("a health check that fails stops it, and resume goes on with the rest alone", async () => {
    const fleet = await makeFleet(3);
    const healthy = join(secrets, "healthy");
    const health = script("health", `[ -e "${healthy}" ]`);

    const stopped = await desk.run(toFiles("--batch", "1", "--health", health, "--json"));
    const first = JSON.parse(stopped.stdout);
    writeFileSync(healthy, "");
    const rest = await desk.ask(resume(first.campaign.id, "--health", health));

    expect([stopped.code, first.campaign]).toMatchObject([
      8,
      { status: "stopped", delivered: 1, problem: "the health check ended with exit code 1" },
    ]);
    expect(rest.campaign).toMatchObject({ status: "done", delivered: 3, problem: null });
    expect(rest.results[0]).toEqual(first.results[0]);
    for (const { slug } of fleet) expect(await verify(secretOf(slug))).toMatchObject({ ok: true });
  });

  it("more failures than may be stop it, and fewer do not", async () => {
    await makeFleet(4);
    for (const at of [1, 2]) mkdirSync(fileOf(`${team}-${at}`));

    const stopped = JSON.parse((await desk.run(toFiles("--batch", "1", "--json"))).stdout);
    const tolerated = JSON.parse(
      (await desk.run(toFiles("--batch", "1", "--max-failures", "2", "--json"))).stdout,
    );

    expect(stopped.campaign).toMatchObject({ status: "stopped", failed: 1, delivered: 0 });
    expect(tolerated.campaign).toMatchObject({ status: "stopped", failed: 2, delivered: 2 });
    expect(tolerated.results[0].problem).toContain("it is not a regular file");
  });
});

describe("what failed", () => {
  it("comes last when it is tried again, so that nobody waits behind one that never can be", async () => {
    await makeFleet(3);
    mkdirSync(fileOf(`${team}-1`));
    const stopped = await desk.run(toFiles("--batch", "1", "--json"));
    const { id } = JSON.parse(stopped.stdout).campaign;

    const { campaign, results } = JSON.parse((await desk.run([...resume(id), "--json"])).stdout);

    expect(campaign).toMatchObject({ status: "stopped", delivered: 2, failed: 1 });
    expect(results.map(({ state }: Answer) => state)).toEqual(["failed", "delivered", "delivered"]);
  });

  it("leaves no secret behind that was made ahead for the next, where it stops again before that one's turn", async () => {
    const fleet = await makeFleet(2);
    for (const { slug } of fleet) await desk.ask(["credential", "rotate", slug]);
    const first = JSON.parse((await desk.run(toFiles("--batch", "1", "--json"))).stdout);
    const { id } = first.campaign;
    await desk.run(resume(id));

    const { campaign } = JSON.parse((await desk.run([...resume(id), "--json"])).stdout);

    expect(campaign).toMatchObject({ status: "stopped", delivered: 0, failed: 2 });
    expect(readdirSync(secrets)).toEqual([]);
  });

  it("is all tried again by resume, batch by batch, and a campaign is done when nothing of it is left", async () => {
    await makeFleet(3);
    for (const at of [2, 3]) mkdirSync(fileOf(`${team}-${at}`));
    const stopped = await desk.run(toFiles("--batch", "1", "--max-failures", "3", "--json"));
    const { id } = JSON.parse(stopped.stdout).campaign;
    rmdirSync(fileOf(`${team}-2`));

    const half = JSON.parse((await desk.run([...resume(id), "--json"])).stdout);
    rmdirSync(fileOf(`${team}-3`));
    const whole = await desk.ask(resume(id));

    expect(half.campaign).toMatchObject({
      status: "stopped",
      delivered: 2,
      problem: expect.stringContaining("1 could not"),
    });
    expect(whole.campaign).toMatchObject({ status: "done", delivered: 3, failed: 0 });
  });
});

describe("afterwards", () => {
  it("waits until every new secret has been used", async () => {
    const [one] = await makeFleet(1);
    const rotating = desk.ask(toFiles("--wait-proof", "1m"));
    while (!existsSync(fileOf(one?.slug ?? ""))) await new Promise((resolve) => setTimeout(resolve, 20));

    await activate(secretOf(one?.slug ?? ""));

    expect((await rotating).campaign).toMatchObject({ status: "done", proven: 1 });
  });

  it("says who has not moved when the time is up: exit 8", async () => {
    const [one] = await makeFleet(1);

    const { code, stdout, stderr } = await desk.run([...toFiles("--wait-proof", "1s"), "--json"]);

    expect(code).toBe(8);
    expect(JSON.parse(stdout).results).toMatchObject([{ identity: one?.slug, proven: false }]);
    expect(stderr).toContain("1 have not used their new secret yet.");
  });

  it("interrupted between batches it stops, says so, and resume goes on: exit 143", async () => {
    const fleet = await makeFleet(3);
    const health = script(
      "interrupts",
      `[ -e "${secrets}/once" ] || { touch "${secrets}/once"; kill -TERM $PPID; }`,
    );

    const refusal = await desk.refuse(toFiles("--batch", "1", "--health", health, "--quiet"));
    const { campaign } = await desk.ask(resume(String(refusal.details.campaign), "--health", health));

    expect(refusal).toMatchObject({
      exit: 143,
      message: expect.stringMatching(/[12] of 3 have their new secret/),
    });
    expect(campaign).toMatchObject({ status: "done", delivered: 3 });
    for (const { slug } of fleet) expect(await verify(secretOf(slug))).toMatchObject({ ok: true });
  });

  it("interrupted in a pause it does not wait for its end, and rotates nobody more", async () => {
    await makeFleet(2);
    // Interrupts once the check is over, in the pause that follows it.
    const health = script(
      "leaves",
      "run=$PPID; check=$$; (while kill -0 $check; do :; done; kill -TERM $run) 2>/dev/null &",
    );

    const refusal = await desk.refuse(
      toFiles("--batch", "1", "--batch-pause", "1h", "--health", health, "--quiet"),
    );

    expect(refusal).toMatchObject({ exit: 143, message: expect.stringContaining("1 of 2 have their new") });
  });

  it("two that go on at once do no harm: what one delivered is no failure of the other", async () => {
    const [one] = await makeFleet(1);
    const [begun, free] = [join(secrets, "begun"), join(secrets, "free")];
    const slow = script("slow", `touch "${begun}"; while [ ! -e "${free}" ]; do sleep 0.05; done; exit 1`);
    const quick = script("quick", `cat > "${secrets}/taken"`);
    const first = desk.run(rotate("--deliver-exec", slow, "--json", "--quiet"));
    await until(() => existsSync(begun));
    const { campaigns } = await desk.ask("runbook status");

    const second = await desk.ask(["runbook", "resume", campaigns[0].id, "--deliver-exec", quick]);
    writeFileSync(free, "");
    const { code, stdout } = await first;

    expect(second.campaign).toMatchObject({ status: "done", delivered: 1 });
    expect([code, JSON.parse(stdout).campaign]).toMatchObject([
      0,
      { status: "done", delivered: 1, failed: 0 },
    ]);
    expect(await verify(readFileSync(`${secrets}/taken`, "utf8").trim())).toMatchObject({
      ...{ ok: true, actor: { slug: one?.slug } },
    });
  });

  it("a campaign that is done is done: resume changes nothing", async () => {
    await makeFleet(1);
    const { campaign } = await desk.ask(toFiles());
    const before = readFileSync(fileOf(`${team}-1`), "utf8");

    expect((await desk.ask(resume(campaign.id))).campaign).toMatchObject({
      status: "done",
      changedAt: campaign.changedAt,
    });
    expect(readFileSync(fileOf(`${team}-1`), "utf8")).toBe(before);
  });

  it("status of one that there is not is exit 3", async () => {
    expect(await desk.refuse("runbook status rb_000000000000")).toMatchObject({ exit: 3 });
    expect(await desk.refuse("runbook resume campaign")).toMatchObject({ exit: 2 });
  });
});

describe("going on", () => {
  let id: string;
  beforeEach(async () => {
    await makeFleet(2);
    const health = script("never", "exit 1");
    const stopped = await desk.run(toFiles("--batch", "1", "--health", health, "--json"));
    ({ id } = JSON.parse(stopped.stdout).campaign);
  });

  it.each([
    ["without a word on where the secrets go", [], /^Nothing says where the secrets/],
    ["with another way of delivery", ["--deliver-exec", "true", "--health", "true"], /go to files/],
    [
      "without the health check that it had",
      ["--token-file-dir", "{secrets}"],
      /is checked between its batches/,
    ],
  ])("is refused %s", async (_, words, message) => {
    const said = words.map((word) => word.replace("{secrets}", secrets));

    expect(await desk.refuse(["runbook", "resume", id, ...said])).toMatchObject({
      exit: 2,
      message: expect.stringMatching(message),
    });
  });

  it("writes no secret outside the directory that is said, whatever the journal says", async () => {
    const other = mkdtempSync(join(desk.directory, "other-"));

    const { code, stdout } = await desk.run([
      "runbook",
      "resume",
      id,
      "--token-file-dir",
      other,
      "--health",
      "true",
      "--json",
    ]);

    expect(code).toBe(8);
    expect(JSON.parse(stdout).results[1]).toMatchObject({
      state: "failed",
      problem: expect.stringContaining("has no file for"),
    });
    expect(readdirSync(secrets)).toHaveLength(1);
    expect(readdirSync(other)).toEqual([]);
  });

  it("finds no command in the database", async () => {
    const [row] = await desk.sql<{ terms: string }>(
      `SELECT terms FROM midctl_campaign WHERE "publicId" = '${id.slice(3)}'`,
    );

    expect(row?.terms).not.toContain("never");
  });
});
