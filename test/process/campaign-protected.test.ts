import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Answer } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";

/** Rotating many where nothing changes without an approval: every secret is prepared, one plan names them all, `resume` delivers. */
let production: ProtectedDesk;
/** Each test's own: a label, and a directory. */
let team: string;
let secrets: string;
let made = 0;

beforeAll(async () => {
  production = await openProtectedDesk({ quorum: 1 });
});
afterAll(() => production?.dispose());
beforeEach(() => {
  team = `team-${++made}`;
  secrets = mkdtempSync(join(production.directory, "secrets-"));
});

/** Identities of this test's label, each with an active credential whose secret is in its file. */
async function makeFleet(size: number): Promise<string[]> {
  const names = Array.from({ length: size }, (_, at) => `${team}-${at + 1}`);
  const lines = [];
  for (const slug of names) {
    const words = ["credential", "prepare", "--environment", "test", "--token-file", fileOf(slug)];
    const { commitment } = await production.ask(words);
    lines.push({
      slug,
      owner: "platform",
      labels: { team },
      credential: { commitment, scopes: ["cards:*"] },
    });
  }
  const file = join(production.directory, `${team}.ndjson`);
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  await production.carryThrough(["identity", "import", file]);
  for (const slug of names) await activate(slug);
  return names;
}

const fileOf = (slug: string) => join(secrets, `${slug}.token`);
const secretOf = (slug: string) => readFileSync(fileOf(slug), "utf8").trim();
const activate = (slug: string) => production.ask(["credential", "activate", "--token-file", fileOf(slug)]);
const alice = () => production.trust.keyFile("alice");
const rotate = (...words: string[]) => ["credential", "rotate", "--label", `team=${team}`, ...words];
const resume = (id: string, ...words: string[]) => [
  ...["runbook", "resume", id, "--token-file-dir", secrets],
  ...words,
];
const verify = async (token: string) =>
  JSON.parse((await production.run("verify --json", { stdin: `${token}\n` })).stdout);

/** Asks for a campaign; the approval and the campaign that exit 6 names. */
async function ask(
  words: readonly string[],
): Promise<{ readonly approval: string; readonly campaign: string }> {
  const { exit, message, details } = await production.refuse([...words, "--key", alice()]);
  expect(exit, message).toBe(6);
  return details as { approval: string; campaign: string };
}
const askToFiles = (...words: string[]) => ask(rotate("--token-file-dir", secrets, ...words));

describe("from request to receipt", () => {
  it("rotates everybody by one approval, and gives each its secret", async () => {
    const [first = "", second = ""] = await makeFleet(2);
    const before = [secretOf(first), secretOf(second)];

    const { approval, campaign } = await askToFiles("--reason", "quarterly");
    expect([secretOf(first), secretOf(second)]).toEqual(before);
    await production.approve(approval);
    const { campaign: ended, results } = await production.ask(resume(campaign));

    expect(ended).toMatchObject({ status: "done", approval, delivered: 2, failed: 0 });
    expect(results).toMatchObject([
      { identity: first, state: "delivered", tokenFile: fileOf(first) },
      { identity: second, state: "delivered" },
    ]);
    expect(await verify(secretOf(first))).toMatchObject({
      ok: true,
      credential: { effectiveStatus: "pending" },
    });
    expect(await verify(before[0] ?? "")).toMatchObject({ ok: true });
    expect(await activate(first)).toMatchObject({ credential: { status: "active", scopes: ["cards:*"] } });
    expect((await production.ask(["approval", "show", approval])).approval.status).toBe("executed");
    expect(readdirSync(secrets).sort()).toEqual([basename(fileOf(first)), basename(fileOf(second))]);
  });

  it("names approval and campaign in each entry of the log", async () => {
    const [one = ""] = await makeFleet(1);
    const { approval, campaign } = await askToFiles("--reason", "quarterly");
    await production.approve(approval);

    await production.ask(resume(campaign));

    const { events } = await production.ask(["audit", "--identity", one]);
    expect(events[0]).toMatchObject({
      ...{ action: "credential.issue", approval, reason: `quarterly (${campaign})` },
    });
  });

  it("ends with a receipt that OpenSSH verifies: plan, votes, and what became of each", async () => {
    const [one = ""] = await makeFleet(1);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);
    const receipt = join(secrets, "receipt.json");

    await production.ask(resume(campaign, "--receipt", receipt, "--key", alice()));

    const said = JSON.parse(readFileSync(receipt, "utf8"));
    expect(said).toMatchObject({
      ...{ v: 1, campaign, status: "done", approval: { id: approval, status: "executed" } },
      targets: [{ identity: one, state: "delivered", problem: null }],
    });
    expect(said.approval.votes.map(({ kind, principal }: Answer) => [kind, principal])).toEqual([
      ["request", "alice"],
      ["approval", "bob"],
    ]);
    const signers = join(production.trust.dir, "allowed_signers");
    const words = `-Y verify -f ${signers} -I alice -n midctl-receipt@v1 -s ${receipt}.sig`;
    const verified = execFileSync("ssh-keygen", words.split(" "), { input: readFileSync(receipt) });
    expect(verified.toString()).toContain('Good "midctl-receipt@v1" signature for alice');
  });

  it("hands each secret to a command, after it waited in a directory", async () => {
    const [one = ""] = await makeFleet(1);
    const sink = join(production.directory, `${team}.sink`);
    const means = ["--deliver-exec", `tee ${sink}`, "--stage-dir", secrets];
    const { approval, campaign } = await ask(rotate(...means));
    await production.approve(approval);
    rmSync(fileOf(one));

    const { results } = await production.ask(["runbook", "resume", campaign, ...means]);

    expect(results).toMatchObject([{ state: "delivered", tokenFile: null }]);
    expect(await verify(readFileSync(sink, "utf8").trim())).toMatchObject({ ok: true });
    expect(readdirSync(secrets)).toEqual([]);
  });

  it("--compromised ends the old ones as their lines are carried out", async () => {
    const [one = ""] = await makeFleet(1);
    const old = secretOf(one);
    const { approval, campaign } = await askToFiles("--compromised");
    expect(await verify(old)).toMatchObject({ ok: true });
    await production.approve(approval);

    await production.ask(resume(campaign));

    expect(await verify(old)).toMatchObject({ ok: false, code: "revoked" });
    expect(await verify(secretOf(one))).toMatchObject({ ok: true });
  });
});

describe("before it is approved", () => {
  it("resume is exit 6, and says who has to do what", async () => {
    const [one = ""] = await makeFleet(1);
    const before = secretOf(one);
    const { approval, campaign } = await askToFiles();

    const refusal = await production.refuse(resume(campaign));

    expect(refusal).toMatchObject({ exit: 6, details: { approval, campaign } });
    expect(refusal.hint).toContain(`midctl approval approve ${approval}`);
    expect(refusal.hint).toContain(`midctl runbook resume ${campaign} --token-file-dir DIR`);
    expect(secretOf(one)).toBe(before);
  });

  it("approving says what carries it out", async () => {
    await makeFleet(1);
    const { approval, campaign } = await askToFiles();

    const words = ["approval", "approve", approval, "--key", production.trust.keyFile("bob"), "--yes"];
    const { stdout } = await production.run(words);

    expect(stdout).toContain(`It can be carried out: midctl runbook resume ${campaign}`);
  });

  it("a rejected one rotates nobody, and says so", async () => {
    const [one = ""] = await makeFleet(1);
    const before = secretOf(one);
    const { approval, campaign } = await askToFiles();
    await production.ask(["approval", "cancel", approval]);

    const result = await production.run([...resume(campaign), "--json"]);

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout).campaign).toMatchObject({
      ...{ status: "stopped", problem: `${approval} is cancelled`, delivered: 0 },
    });
    expect(secretOf(one)).toBe(before);
    expect(await verify(before)).toMatchObject({ ok: true });
  });

  it("one that was cancelled while it ran lets what it issued stand, and sends nobody to resume it", async () => {
    const [one = "", other = ""] = await makeFleet(2);
    const before = secretOf(other);
    const health = join(production.directory, `${team}.health`);
    writeFileSync(
      health,
      `#!/bin/sh\ntouch ${health}.asked\nuntil [ -e ${health}.go ]; do sleep 0.05; done\n`,
      {
        mode: 0o700,
      },
    );
    const { approval, campaign } = await askToFiles("--batch", "1", "--health", health);
    await production.approve(approval);
    const running = production.run([...resume(campaign, "--health", health), "--json"]);
    while (!existsSync(`${health}.asked`)) await new Promise((resolve) => setImmediate(resolve));

    await production.ask(["approval", "cancel", approval]);
    writeFileSync(`${health}.go`, "");
    const result = await running;

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout).results).toMatchObject([
      { identity: one, state: "delivered" },
      { identity: other, state: "failed", problem: expect.stringContaining("is cancelled") },
    ]);
    expect(secretOf(other)).toBe(before);
    expect(result.stderr).not.toContain("runbook resume");
    expect(result.stderr).toContain(`midctl runbook status ${campaign}`);
  });

  it("is not carried out by `approval apply`, which would deliver nothing", async () => {
    await makeFleet(1);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);

    const refusal = await production.refuse(["approval", "apply", approval]);

    expect(refusal).toMatchObject({ exit: 5, details: { campaign } });
    expect(refusal.hint).toContain(`midctl runbook resume ${campaign}`);
  });

  it("asks for nothing where one of many cannot be rotated, and takes the secrets back", async () => {
    const [first = "", second = ""] = await makeFleet(2);
    await production.carryThrough(["credential", "rotate", first, "--token-file", join(secrets, "beside")]);
    const before = readdirSync(secrets);

    const refusal = await production.refuse(rotate("--token-file-dir", secrets, "--key", alice()));

    expect(refusal).toMatchObject({ exit: 5, details: { refused: [{ identity: first }] } });
    expect(refusal.message).toContain("1 of 2 cannot be rotated");
    expect(readdirSync(secrets)).toEqual(before);
    expect(await verify(secretOf(second))).toMatchObject({ ok: true });
  });

  it("--replace-pending puts the pending one aside, by name in the plan", async () => {
    const [one = ""] = await makeFleet(1);
    await production.carryThrough(["credential", "rotate", one, "--token-file", join(secrets, "beside")]);

    const { approval, campaign } = await askToFiles("--replace-pending");
    await production.approve(approval);
    await production.ask(resume(campaign));

    expect(await verify(readFileSync(join(secrets, "beside"), "utf8").trim())).toMatchObject({
      ...{ ok: false, code: "abandoned" },
    });
    expect(await activate(one)).toMatchObject({ credential: { status: "active" } });
  });

  it("needs a directory to wait in where a command takes the secrets", async () => {
    await makeFleet(1);

    expect(await production.refuse(rotate("--deliver-exec", "cat", "--key", alice()))).toMatchObject({
      ...{ exit: 2, hint: expect.stringContaining("--stage-dir DIR") },
    });
  });

  it("on a dry run tries each, prepares no secret and asks for nothing", async () => {
    const [one = ""] = await makeFleet(1);
    const before = (await production.ask("approval list --all")).approvals.length;

    const { results } = await production.ask(rotate("--token-file-dir", secrets, "--dry-run"));

    expect(results).toMatchObject([{ identity: one, tokenFile: fileOf(one), state: "open" }]);
    expect(readdirSync(secrets)).toEqual([basename(fileOf(one))]);
    expect((await production.ask("approval list --all")).approvals).toHaveLength(before);
  });
});

describe("after it is approved", () => {
  it("one that moved meanwhile is superseded, and the others go on", async () => {
    const [first = "", second = ""] = await makeFleet(2);
    const { approval, campaign } = await askToFiles("--max-failures", "1");
    await production.approve(approval);
    await production.carryThrough(["pause", first]);
    const before = secretOf(first);

    const result = await production.run([...resume(campaign), "--json"]);

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout).results).toMatchObject([
      { identity: first, state: "failed", problem: expect.stringContaining("changed since") },
      { identity: second, state: "delivered" },
    ]);
    expect(secretOf(first)).toBe(before);
  });

  it("a secret that is gone rotates nobody: the plan names it, and no other is made", async () => {
    const [one = ""] = await makeFleet(1);
    const before = secretOf(one);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);
    rmSync(`${fileOf(one)}.${campaign}`);

    const result = await production.run([...resume(campaign), "--json"]);

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout).results).toMatchObject([
      { state: "failed", problem: expect.stringContaining("is gone; nothing was issued") },
    ]);
    expect(secretOf(one)).toBe(before);
    expect(existsSync(`${fileOf(one)}.${campaign}`)).toBe(false);
  });

  it("what a command did not take is kept, and handed over by the next run", async () => {
    const [one = ""] = await makeFleet(1);
    const means = (command: string) => ["--deliver-exec", command, "--stage-dir", secrets];
    const sink = join(production.directory, `${team}.sink`);
    const { approval, campaign } = await ask(rotate(...means("false")));
    await production.approve(approval);
    expect((await production.run(["runbook", "resume", campaign, ...means("false")])).code).toBe(8);

    const { results } = await production.ask(["runbook", "resume", campaign, ...means(`tee ${sink}`)]);

    expect(results).toMatchObject([{ identity: one, state: "delivered" }]);
    expect(await verify(readFileSync(sink, "utf8").trim())).toMatchObject({ ok: true });
  });

  it("what was issued and has ended since is not put in the place of what works", async () => {
    const [one = ""] = await makeFleet(1);
    const means = (command: string) => ["--deliver-exec", command, "--stage-dir", secrets];
    const sink = join(production.directory, `${team}.sink`);
    const { approval, campaign } = await ask(rotate(...means("false")));
    await production.approve(approval);
    await production.run(["runbook", "resume", campaign, ...means("false")]);
    const { results } = await production.ask(["runbook", "status", campaign]);
    await production.carryThrough(["revoke", results[0].credential]);

    const result = await production.run(["runbook", "resume", campaign, ...means(`tee ${sink}`), "--json"]);

    expect(JSON.parse(result.stdout).results).toMatchObject([
      { identity: one, state: "failed", problem: expect.stringContaining("is revoked by now") },
    ]);
    expect(existsSync(sink)).toBe(false);
  });

  it("what was issued is still delivered after a resume elsewhere, and after its plan has ended", async () => {
    const [one = "", other = ""] = await makeFleet(2);
    const sink = join(production.directory, `${team}.sink`);
    const elsewhere = mkdtempSync(join(production.directory, "elsewhere-"));
    const means = (command: string) => ["--deliver-exec", command];
    const { approval, campaign } = await ask(
      rotate(...means("false"), "--stage-dir", secrets, "--compromised", "--batch", "1"),
    );
    await production.approve(approval);
    const go = (command: string) =>
      production.run(["runbook", "resume", campaign, ...means(command), "--stage-dir", secrets, "--json"]);
    await go("false");
    const staged = join(secrets, `${one}.token.${campaign}`);
    renameSync(staged, join(elsewhere, "kept"));

    const absent = JSON.parse((await go("true")).stdout);
    await production.ask(["approval", "cancel", approval]);
    renameSync(join(elsewhere, "kept"), staged);
    const there = JSON.parse((await go(`tee ${sink}`)).stdout);

    expect(absent.results).toMatchObject([
      { identity: one, state: "issued", problem: expect.stringContaining("resume where it was prepared") },
      { identity: other, state: "open" },
    ]);
    expect(there.results).toMatchObject([
      { identity: one, state: "delivered" },
      { identity: other, state: "open" },
    ]);
    expect(await verify(readFileSync(sink, "utf8").trim())).toMatchObject({ ok: true });
  });

  it("asks and waits for nothing where a cancelled one has nothing left to deliver", async () => {
    await makeFleet(2);
    const asked = join(production.directory, `${team}.asked`);
    const words = ["--health", `touch ${asked}`];
    const { approval, campaign } = await askToFiles("--batch", "1", "--batch-pause", "1h", ...words);
    await production.ask(["approval", "cancel", approval]);

    const result = await production.run([...resume(campaign, ...words), "--json"]);

    expect(result.code).toBe(8);
    expect(existsSync(asked)).toBe(false);
    expect(result.stderr).not.toContain("progress");
  });

  it("nobody signs a receipt of what the journal alone says was rotated", async () => {
    const [one = "", other = ""] = await makeFleet(2);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);
    await production.sql(`UPDATE midctl_campaign_target SET state = 'delivered' WHERE slug = $1`, [one]);
    const receipt = join(secrets, "receipt.json");

    const refusal = await production.refuse(
      resume(campaign, "--receipt", receipt, "--key", alice(), "--quiet"),
    );

    expect(refusal).toMatchObject({ exit: 5, details: { approval, identity: one } });
    expect(refusal.message).toContain("no receipt was written");
    expect(existsSync(receipt)).toBe(false);
    expect(await verify(secretOf(other))).toMatchObject({ ok: true });
  });

  it("one that the journal alone calls done is gone on with", async () => {
    const [one = ""] = await makeFleet(1);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);
    await production.sql(`UPDATE midctl_campaign SET status = 'done' WHERE approval = $1`, [
      approval.slice(3),
    ]);

    const { results } = await production.ask(resume(campaign));

    expect(results).toMatchObject([{ identity: one, state: "delivered" }]);
  });

  it("a trust root that no longer agrees lets nothing be carried out", async () => {
    const [one = ""] = await makeFleet(1);
    const before = secretOf(one);
    const { approval, campaign } = await askToFiles();
    await production.approve(approval);
    production.trust.write(["alice", "carol"]);

    const refusal = await production.refuse(resume(campaign));

    production.trust.write(["alice", "bob", "carol"]);
    expect(refusal).toMatchObject({ exit: 4, code: "denied" });
    expect(secretOf(one)).toBe(before);
  });
});
