import { describe, expect, test } from "vitest";
import type { ContextFile } from "../../src/cli/contexts.ts";
import { resolveSettings, wantsJsonErrors } from "../../src/cli/settings.ts";
import { noFlags } from "./support/world.ts";

const file: ContextFile = {
  current: "prod",
  contexts: {
    prod: { databaseUrl: "postgres://prod/db", actor: "context-actor" },
    lab: { databaseUrl: "postgres://lab/db" },
  },
};

describe("precedence: flag, environment, context, default", () => {
  test.each([
    [{ actor: "flag-actor" }, { MIDCTL_ACTOR: "env-actor" }, { value: "flag-actor", source: "flag" }],
    [{}, { MIDCTL_ACTOR: "env-actor" }, { value: "env-actor", source: "environment" }],
    [{}, { MIDCTL_ACTOR: "" }, { value: "context-actor", source: "context" }],
    [{ context: "lab" }, {}, { value: expect.any(String), source: "default" }],
  ])("%j %j", (flags, env, expected) => {
    const settings = resolveSettings({ ...noFlags, ...flags }, env, false, () => file);

    expect(settings.actor).toEqual(expected);
  });

  test("a context given by flag outranks the environment's URL", () => {
    const env = { MIDCTL_DATABASE_URL: "postgres://env/db" };

    const chosen = resolveSettings({ ...noFlags, context: "lab" }, env, false, () => file);
    const current = resolveSettings(noFlags, env, false, () => file);

    expect(chosen.databaseUrl.value).toBe("postgres://lab/db");
    expect(current.databaseUrl.value).toBe("postgres://env/db");
  });

  test("the format is a table on a terminal and plain in a pipe", () => {
    expect(resolveSettings(noFlags, {}, true, () => file).output.value).toBe("table");
    expect(resolveSettings(noFlags, {}, false, () => file).output.value).toBe("plain");
  });
});

test("a broken context file stops nothing that needs no context", () => {
  const settings = resolveSettings({ ...noFlags, actor: "me" }, {}, false, () => {
    throw new Error("read");
  });

  expect(settings.actor.value).toBe("me");
  expect(() => settings.databaseUrl).toThrow("read");
});

test.each([["postgres://me:hunter2@host/db"], ["postgres://host/db?user=me&password=hunter2"]])(
  "a password in --database-url is refused and not repeated: %s",
  (databaseUrl) => {
    const resolve = () => resolveSettings({ ...noFlags, databaseUrl }, {}, false, () => file);

    expect(resolve).toThrow(expect.objectContaining({ code: "usage" }));
    expect(resolve).not.toThrow(/hunter2/);
  },
);

test("a password in MIDCTL_DATABASE_URL is taken", () => {
  const env = { MIDCTL_DATABASE_URL: "postgres://me:hunter2@host/db" };

  expect(resolveSettings(noFlags, env, false, () => file).databaseUrl.value).toContain("hunter2");
});

test("a URL of another kind is refused without being shown", () => {
  const env = { MIDCTL_DATABASE_URL: "mysql://me:hunter2@host/db" };

  expect(() => resolveSettings(noFlags, env, false, () => file).databaseUrl).toThrow(
    "the database URL (from environment) does not begin with postgres://",
  );
});

test("a context that does not exist is refused, naming where it came from", () => {
  const settings = resolveSettings(noFlags, { MIDCTL_CONTEXT: "gone" }, false, () => file);

  expect(() => settings.databaseUrl).toThrow("there is no context gone (named by the environment)");
});

test.each([
  [["list", "--json"], {}, true],
  [["list", "--output", "ndjson"], {}, true],
  [["list", "--output=json"], {}, true],
  [["list"], { MIDCTL_OUTPUT: "json" }, true],
  [["list"], {}, false],
  [["list", "--output", "table"], { MIDCTL_OUTPUT: "json" }, false],
  [["list", "--", "--json"], {}, false],
])("errors of %j %j are JSON: %s", (argv, env, expected) => {
  expect(wantsJsonErrors(argv, env)).toBe(expected);
});
