import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { contextFilePath, readContextFile, writeContextFile } from "../../src/cli/contexts.ts";
import { makeDirectory, runInWorld } from "./support/world.ts";

function makeConfig(text: string, mode = 0o600) {
  const home = makeDirectory();
  const file = join(home, "midctl", "config.json");
  mkdirSync(join(home, "midctl"));
  writeFileSync(file, text);
  chmodSync(file, mode);
  return { env: { XDG_CONFIG_HOME: home, TERM: "dumb" }, file };
}

const empty = JSON.stringify({ current: null, contexts: {} });

describe("the context file", () => {
  test("lies in XDG_CONFIG_HOME, else in .config, and a relative XDG path is ignored", () => {
    expect(contextFilePath({ XDG_CONFIG_HOME: "/x", HOME: "/h" })).toBe("/x/midctl/config.json");
    expect(contextFilePath({ XDG_CONFIG_HOME: "x", HOME: "/h" })).toBe("/h/.config/midctl/config.json");
    expect(contextFilePath({})).toBeUndefined();
  });

  test("is empty where there is none", () => {
    expect(readContextFile({ XDG_CONFIG_HOME: makeDirectory() })).toEqual({ current: null, contexts: {} });
  });

  test("is written privately, whole, and without leftovers", () => {
    const home = makeDirectory();
    const file = { current: "a", contexts: { a: { actor: "me" } } };

    writeContextFile({ XDG_CONFIG_HOME: home }, file);

    expect(readContextFile({ XDG_CONFIG_HOME: home })).toEqual(file);
    expect(statSync(join(home, "midctl", "config.json")).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, "midctl")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(home, "midctl"))).toEqual(["config.json"]);
  });

  test("gets a private mode again when it is replaced", () => {
    const { env, file } = makeConfig(empty, 0o644);

    writeContextFile(env, { current: null, contexts: {} });

    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test.each([0o666, 0o620, 0o602])("is refused with mode %i", (mode) => {
    const { env } = makeConfig(empty, mode);

    expect(() => readContextFile(env)).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => readContextFile(env)).toThrow("can be written by others");
  });

  test.each([
    ["an unknown key", '{"current":null,"contexts":{},"colour":"red"}', "unknown key colour"],
    [
      "an unknown key of a context",
      '{"current":null,"contexts":{"a":{"databseUrl":"x"}}}',
      "unknown key contexts.a.databseUrl",
    ],
    [
      "a value of another kind",
      '{"current":null,"contexts":{"a":{"actor":3}}}',
      "contexts.a.actor is not what belongs there",
    ],
    ["no JSON", "{", "is not JSON"],
  ])("is refused with %s, which is named", (_what, text, message) => {
    const { env } = makeConfig(text);

    expect(() => readContextFile(env)).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => readContextFile(env)).toThrow(message);
  });
});

describe("midctl context", () => {
  test("set makes a context, use makes it current, show explains it, remove removes it", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };
    const run = (line: string) => runInWorld(line.split(" "), { env });

    expect(await run("context set prod --database-url postgres://db/midctl --json")).toMatchObject({
      code: 0,
    });
    expect(JSON.parse((await run("context use prod --json")).stdout)).toEqual({
      schemaVersion: 1,
      changed: true,
      current: "prod",
    });
    expect(JSON.parse((await run("context use prod --json")).stdout)).toMatchObject({ changed: false });
    expect(JSON.parse((await run("context show --json")).stdout).settings.databaseUrl).toEqual({
      value: "postgres://db/midctl",
      source: "context",
    });
    expect(JSON.parse((await run("context remove prod --json")).stdout)).toMatchObject({
      removed: "prod",
      current: null,
    });
    expect(JSON.parse((await run("context list --json")).stdout)).toEqual({
      schemaVersion: 1,
      contexts: [],
      nextCursor: null,
    });
  });

  test("set changes only what is given", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };
    await runInWorld(["context", "set", "a", "--actor", "me", "--database-url", "postgres://one/db"], {
      env,
    });

    await runInWorld(["context", "set", "a", "--database-url", "postgres://two/db", "--unset", "actor"], {
      env,
    });

    expect(readContextFile(env).contexts).toEqual({ a: { databaseUrl: "postgres://two/db" } });
  });

  test("set takes a URL with a password by stdin, keeps it, and never shows it", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };
    const stdin = "postgres://me:hunter2@db/midctl\n";

    const set = await runInWorld(["context", "set", "a", "--database-url-stdin", "--use", "--json"], {
      env,
      stdin,
    });
    const shown = await runInWorld(["context", "show", "a"], { env });
    const effective = await runInWorld(["context", "show"], { env });
    const listed = await runInWorld(["context", "list"], { env });

    expect(readContextFile(env).contexts.a?.databaseUrl).toBe("postgres://me:hunter2@db/midctl");
    for (const { code, stdout, stderr } of [set, shown, effective, listed]) {
      expect(code).toBe(0);
      expect(stdout + stderr).not.toContain("hunter2");
    }
    expect(shown.stdout).toContain("postgres://me:***@db/midctl");
  });

  test("set with --dry-run writes nothing", async () => {
    const home = makeDirectory();

    await runInWorld(["context", "set", "a", "--dry-run"], { env: { XDG_CONFIG_HOME: home } });

    expect(readdirSync(home)).toEqual([]);
  });

  test("set with a field that no result has writes nothing: --fields is judged first", async () => {
    const home = makeDirectory();

    const { code } = await runInWorld(["context", "set", "a", "--fields", "nam"], {
      env: { XDG_CONFIG_HOME: home },
    });

    expect(code).toBe(2);
    expect(readdirSync(home)).toEqual([]);
  });

  test("use of a context that does not exist exits 3 and changes nothing", async () => {
    const { env, file } = makeConfig(empty);

    const { code, stdout, stderr } = await runInWorld(["context", "use", "gone"], { env });

    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toBe(
      "error: There is no context gone.\nhint: make it: midctl context set gone --database-url URL\n",
    );
    expect(readFileSync(file, "utf8")).toBe(empty);
  });

  test("names like those of JavaScript's own properties are just names", async () => {
    const env = { XDG_CONFIG_HOME: makeDirectory() };

    expect((await runInWorld(["context", "use", "constructor"], { env })).code).toBe(3);
    expect((await runInWorld(["--context", "constructor", "context", "show"], { env })).code).toBe(2);
  });
});
