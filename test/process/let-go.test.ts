import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { scrubEnvironment } from "../support/cli.ts";
import { type Answer, type Desk, openDesk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

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
  await desk.sql("DELETE FROM midctl_verifier");
});

/** A verifier that died, and is waited for as long as its lease. */
async function addDeadVerifier(leaseMs: number): Promise<void> {
  await desk.sql(
    `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'dead', $1::int, 0)`,
    [leaseMs],
  );
}

/** Starts a command that will wait, and returns once what it does has been committed. */
async function startUntil(words: string, committed: string) {
  const child = spawn(process.execPath, [PROGRAM, ...words.split(" ")], {
    cwd: desk.directory,
    env: scrubEnvironment(desk.env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  while ((await desk.sql(committed, [slug])).length === 0) {}
  return { child, ended };
}

const PAUSED = "SELECT FROM machine_identity WHERE slug = $1 AND status = 'paused'";

describe("while verifiers are waited for", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s ends with %i and says that the change stands", async (signal, code) => {
    await addDeadVerifier(60_000);
    const { child, ended } = await startUntil(`pause ${slug}`, PAUSED);

    child.kill(signal);

    expect(await ended).toEqual({
      code,
      stdout: "",
      stderr: expect.stringMatching(
        /^error: Interrupted; the change stands; verifiers were still being waited for/,
      ),
    });
    expect(await desk.sql(PAUSED, [slug])).toHaveLength(1);
  });

  it("a database that is lost then is exit 7, and the error says that the change stands", async () => {
    await addDeadVerifier(60_000);
    const { ended } = await startUntil(`pause ${slug} --json`, PAUSED);

    await desk.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await desk.sql("ALTER TABLE midctl_verifier RENAME TO elsewhere");
    const { code, stderr, stdout } = await ended.finally(() =>
      desk.sql("ALTER TABLE elsewhere RENAME TO midctl_verifier"),
    );

    expect({ code, stdout }).toEqual({ code: 7, stdout: "" });
    expect(JSON.parse(stderr).error).toMatchObject({
      message: expect.stringContaining(`${slug} is paused, and that stands`),
      details: { status: "paused", changed: true },
    });
  });
});

describe("what pause and revoke print of it", () => {
  it("is how many let go, and of them whose lease ran out", async () => {
    await addDeadVerifier(200);

    const { results } = await desk.ask(`pause ${slug}`);

    expect(results[0].letGo).toEqual({
      verifiers: 1,
      acknowledged: 0,
      expired: 1,
      ms: expect.any(Number),
    });
    expect(results[0].letGo.ms).toBeGreaterThanOrEqual(200);
  });

  it("is a line for people", async () => {
    await addDeadVerifier(200);

    const { stderr } = await desk.run(`revoke ${slug} --yes`);

    expect(stderr).toMatch(/1 verifier let go in \d+ ms, 1 of them when its lease ran out/);
  });

  it("is nothing under --no-wait, which returns at once", async () => {
    await addDeadVerifier(60_000);

    const { results } = await desk.ask(`pause ${slug} --no-wait`);

    expect(results[0]).toMatchObject({ changed: true, letGo: null });
  });

  it("is nothing on a dry run, and after a resume", async () => {
    await addDeadVerifier(60_000);

    const tried = await desk.ask(`pause ${slug} --dry-run`);
    const resumed = await desk.ask(`resume ${slug}`);

    expect(tried.results[0].letGo).toBeNull();
    expect(resumed.results[0].letGo).toBeNull();
  });
});

describe("of many", () => {
  it("verifiers are waited for once, after the last, and each result says how that went", async () => {
    const other = await desk.identity(`${slug}-other`);
    await addDeadVerifier(200);

    const { results } = await desk.ask(`pause ${slug} ${other} --yes`);

    // Waited for after the first already, nobody would be there any more after the second.
    expect(results.map(({ letGo }: Answer) => letGo)).toEqual([results[0].letGo, results[0].letGo]);
    expect(results[1].letGo).toMatchObject({ verifiers: 1, expired: 1 });
  });

  it("a selection that was done before is waited for again: whoever did it may have been interrupted", async () => {
    await desk.ask(`identity update ${slug} --label team=${slug}`);
    await desk.ask(`pause ${slug} --no-wait`);
    await addDeadVerifier(200);

    await desk.ask(`pause --label team=${slug} --yes`);

    expect(await desk.sql("SELECT FROM midctl_verifier")).toEqual([]);
  });

  it("an interruption meanwhile is exit 130, and says how many were done", async () => {
    const other = await desk.identity(`${slug}-other`);
    await addDeadVerifier(60_000);
    const { child, ended } = await startUntil(
      `pause ${slug} ${other} --yes`,
      `SELECT FROM pg_stat_activity
        WHERE application_name = 'midctl' AND datname = current_database() AND query LIKE '%FROM midctl_verifier%'
          AND (SELECT count(*) FROM machine_identity WHERE slug IN ($1::text, $1::text || '-other') AND status = 'paused') = 2`,
    );

    child.kill("SIGINT");

    expect(await ended).toEqual({
      code: 130,
      stdout: "",
      stderr: expect.stringContaining("2 of 2 were done, and stay so; verifiers were still being waited for"),
    });
  });
});

describe("rotate --compromised", () => {
  it("waits too, and delivers the secret", async () => {
    await desk.activeCredential(slug);
    await addDeadVerifier(200);

    const { token, letGo } = await desk.ask(`credential rotate ${slug} --compromised --yes`);

    expect(token).toMatch(/^mid_test_/);
    expect(letGo).toMatchObject({ verifiers: 1, expired: 1 });
  });

  it("interrupted then says what became of the secret", async () => {
    await desk.activeCredential(slug);
    await addDeadVerifier(60_000);
    const { child, ended } = await startUntil(
      `credential rotate ${slug} --compromised --yes`,
      `SELECT FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
        WHERE i.slug = $1 AND c.status = 'revoked'`,
    );

    child.kill("SIGINT");

    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    expect(stderr).toMatch(/old credentials are revoked, and the secret of the new one was not shown/);
  });
});

describe("a campaign after a leak", () => {
  it("returns when verifiers have let go of what it ended at once", async () => {
    await desk.activeCredential(slug);
    await addDeadVerifier(60_000);
    const rotated = `SELECT FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
      WHERE i.slug = $1 AND c.status = 'revoked'`;
    const words = `credential rotate ${slug} --compromised --token-file-dir . --yes`;
    const { child, ended } = await startUntil(words, rotated);
    const finished = ended.then(() => "ended");

    const delivered = `SELECT FROM midctl_campaign_target WHERE slug = $1 AND state = 'delivered'`;
    while ((await desk.sql(delivered, [slug])).length === 0) {}
    const [campaign] = await desk.sql(
      `SELECT c.status FROM midctl_campaign c JOIN midctl_campaign_target t ON t."campaignId" = c.id WHERE t.slug = $1`,
      [slug],
    );
    await desk.sql("DELETE FROM midctl_verifier");

    expect(campaign).toEqual({ status: "running" });
    expect(await finished).toBe("ended");
    expect(child.exitCode).toBe(0);
  });
});
