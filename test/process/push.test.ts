import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type CliResult, runCli } from "../support/cli.ts";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { type Answer, readRefusal } from "./desk.ts";

/** From a laptop's embedded engine to a team's server, as README's "Backup" has it. */
let home: string;
let env: Record<string, string>;
let team: TestDatabase;
let url: string;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "midctl-"));
  chmodSync(home, 0o755);
  for (const name of ["cache", "config"]) mkdirSync(join(home, name), { mode: 0o700 });
  env = {
    MIDCTL_DATA_DIR: join(home, "store"),
    MIDCTL_ACTOR: "alice",
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"),
  };
  const [newest] = postgresDatabases();
  if (newest === undefined) throw new Error("no PostgreSQL server");
  team = await newest.createBare();
  url = team.url ?? "";
});
afterEach(async () => {
  await midctl(["db", "stop"]);
  await team.dispose();
  rmSync(home, { recursive: true, force: true });
});

function midctl(words: readonly string[], more: Record<string, string> = {}, stdin = ""): Promise<CliResult> {
  return runCli(words, { env: { ...env, ...more }, stdin });
}

async function ask(words: string, more: Record<string, string> = {}, stdin = ""): Promise<Answer> {
  const result = await midctl([...words.split(" "), "--json"], more, stdin);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return JSON.parse(result.stdout);
}

const refuse = async (words: string) => readRefusal(await midctl([...words.split(" "), "--json"]));

/** An identity whose credential has been used. */
async function provision(slug: string): Promise<string> {
  const { token } = await ask(`credential issue ${slug} --create --owner you --scope cards:*`);
  await ask("credential activate", {}, token);
  return token;
}

test("a laptop's database goes to a server with identities, secrets, history and log, and lives on there", async () => {
  const token = await provision("bot");
  await ask("pause bot --reason lunch");
  await ask("resume bot");
  const { events } = await ask("audit --limit 100");
  const list = await ask("list credentials");

  const pushed = await ask(`db push ${url} --yes`);

  expect(pushed).toMatchObject({
    changed: true,
    copied: true,
    holdings: { identities: 1, credentials: 1, tokens: 1, entries: events.length },
  });
  const there = { MIDCTL_DATABASE_URL: url };
  const { events: after } = await ask("audit --limit 100", there);
  expect(after[0]).toMatchObject({ action: "environment.move", details: { movedTo: pushed.target } });
  expect(after.slice(1)).toEqual(events);
  expect(await ask("list credentials", there)).toEqual(list);
  expect(await ask("verify --scope cards:write", there, token)).toMatchObject({
    ok: true,
    actor: { slug: "bot" },
  });

  const { token: next } = await ask("credential rotate bot --grace 0s", there);
  await ask("credential activate", there, next);
  expect((await midctl(["verify"], there, token)).code).toBe(4);
  await ask("revoke bot --yes", there);
  expect((await midctl(["verify"], there, next)).code).toBe(4);
});

test("the laptop refuses every change afterwards, and status says where to go", async () => {
  await provision("bot");
  const { target } = await ask(`db push ${url} --yes`);

  for (const words of [
    "revoke bot --yes",
    "pause bot",
    "identity create other --owner you",
    "db init --environment lab",
  ]) {
    expect(await refuse(words)).toMatchObject({
      exit: 5,
      code: "conflict",
      message: expect.stringContaining(`has moved to ${target}`),
      hint: expect.stringContaining("midctl context set NAME --use --database-url"),
    });
  }
  expect((await ask("status")).environment.movedTo).toBe(target);
  expect((await ask("db status")).environment.movedTo).toBe(target);
  expect((await midctl(["status"])).stdout).toContain(target);
});

test("a dry run says what would go, and leaves both sides alone", async () => {
  await provision("bot");

  const preview = await ask(`db push ${url} --dry-run`);

  expect(preview).toMatchObject({
    changed: true,
    holdings: { identities: 1, tokens: 1 },
    environment: { movedTo: null },
  });
  expect(preview.applied.length).toBeGreaterThan(5);
  expect(await runSql(url, "SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace")).toEqual([]);
  await ask("pause bot");
});

test("is confirmed, and safe to repeat", async () => {
  await provision("bot");

  expect(await refuse(`db push ${url}`)).toMatchObject({
    exit: 2,
    message: expect.stringContaining("has to be confirmed"),
  });
  await ask(`db push ${url} --yes`);
  expect(await ask(`db push ${url} --yes`)).toMatchObject({ changed: false });
});

test("the place that is written down has no user and no way of connecting", async () => {
  await provision("bot");

  const { target } = await ask(`db push ${url}?application_name=mover --yes`);

  const user = new URL(url.replace("%", "x")).username;
  expect(target).toMatch(/^postgres:\/\/\/test_\w+\?host=/);
  expect(target).not.toContain(`${user}@`);
  expect(target).not.toContain("mover");
});

test("a context's target takes its password from its command; a password in an argument is refused", async () => {
  await provision("bot");
  const asked = join(home, "asked");
  await ask(`context set team --database-url ${url}`);
  await midctl(["context", "set", "team", "--password-command", `sh -c 'echo yes > ${asked}; echo x'`]);

  expect(await refuse("db push postgres://you:secret@db.example/team --yes")).toMatchObject({
    exit: 2,
    message: expect.not.stringContaining("secret"),
  });
  expect(await ask("db push team --yes")).toMatchObject({ changed: true, context: "team" });
  expect(existsSync(asked)).toBe(true);
});

test("an unknown context, an embedded one and no target are usage errors", async () => {
  await ask(`context set lab --data-dir ${join(home, "lab")}`);

  for (const words of [
    "db push nowhere --yes",
    "db push lab --yes",
    "db push",
    "db push mysql://h/x --yes",
  ]) {
    expect(await refuse(words)).toMatchObject({ exit: 2 });
  }
});
