import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startEngine } from "../../src/db/engine/engine.ts";
import { locateStore } from "../../src/db/engine/location.ts";
import { type CliResult, runCli } from "../support/cli.ts";

/** The program with nothing configured but where its store lies: what a person on a fresh machine has. */
let home: string;
let env: Record<string, string>;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "midctl-"));
  // Under root the server runs as a user of its own, who must reach the store.
  chmodSync(home, 0o755);
  mkdirSync(join(home, "cache"));
  env = { MIDCTL_DATA_DIR: join(home, "store"), XDG_CACHE_HOME: join(home, "cache") };
});
afterEach(async () => {
  await midctl("db", "stop");
  rmSync(home, { recursive: true, force: true });
});

function midctl(...words: string[]): Promise<CliResult> {
  return runCli(words, { env });
}

const PROVISION = [
  "credential",
  "issue",
  "--thread",
  "demo-1",
  "--provider",
  "codex",
  "--create",
  "--owner",
  "you",
];

test("one command on a fresh machine does the job: the secret alone on stdout, the rest on stderr", async () => {
  const { code, stdout, stderr } = await midctl(...PROVISION);

  expect(code).toBe(0);
  expect(stdout).toMatch(/^mid_test_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\n$/);
  expect(stderr).toContain("First use");
});

test("a stopped server is started by the next command, with everything there", async () => {
  await midctl(...PROVISION);
  await midctl("db", "stop");

  const { code, stdout } = await midctl("list", "--json");

  expect(code).toBe(0);
  expect(JSON.parse(stdout).identities).toMatchObject([{ slug: "codex-demo-1" }]);
});

test("four first uses at once all succeed, on one store", async () => {
  const runs = await Promise.all(
    ["a", "b", "c", "d"].map((slug) => midctl("identity", "create", slug, "--owner", "you")),
  );

  expect(runs.map((run) => run.code)).toEqual([0, 0, 0, 0]);
  const { stdout } = await midctl("list", "--json", "--fields", "slug");
  expect(JSON.parse(stdout).identities).toHaveLength(4);
});

test("a store that was copied and never made its own is made up for by the next command", async () => {
  await startEngine(locateStore({ MIDCTL_DATA_DIR: env.MIDCTL_DATA_DIR }));

  const { code, stdout } = await midctl(...PROVISION);

  expect(code).toBe(0);
  expect(stdout).toMatch(/^mid_test_/);
});

test("db stop as a dry run stops nothing", async () => {
  await midctl("list");

  await midctl("db", "stop", "--dry-run");

  expect(JSON.parse((await midctl("db", "status", "--json")).stdout).engine).toMatchObject({ running: true });
});

test("an embedded engine cannot be a protected environment, and says why", async () => {
  const { code, stderr } = await midctl("db", "init", "--environment", "prod", "--live", "--protected");

  expect(code).toBe(5);
  expect(stderr).toContain("use a server");
});
