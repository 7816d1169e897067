import { describe, expect, test } from "vitest";
import { explainUncaught, interruptionOf } from "../../src/cli/interruption.ts";
import type { Database, OwnTx } from "../../src/db/database.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { makeContext } from "./support/world.ts";

function fakeDatabase(): Database {
  const tx = {} as OwnTx;
  return {
    concurrent: true,
    query: async () => [],
    transaction: (work) => work(tx),
    listen: async () => ({ query: async () => [], close: () => undefined }),
    close: async () => undefined,
  };
}

describe("asking", () => {
  test("off a terminal a missing argument is a usage error that names it", async () => {
    const { context } = makeContext();

    await expect(context.ask({ name: "--owner", summary: "who answers for it" })).rejects.toMatchObject({
      code: "usage",
      message: "--owner is missing: who answers for it; nothing was done",
    });
  });

  test.each([
    ["--no-input", { noInput: true }, {}],
    ["MIDCTL_NO_INPUT", {}, { MIDCTL_NO_INPUT: "1" }],
  ])("%s counts as no terminal", async (_what, flags, env) => {
    const { context } = makeContext(flags, { onTerminal: true, env });

    expect(context.canAsk()).toBe(false);
  });

  test("on a terminal somebody can be asked", () => {
    expect(makeContext({}, { onTerminal: true }).context.canAsk()).toBe(true);
  });
});

describe("confirming", () => {
  const wish = { action: "revoke codex-1", name: "codex-1" };

  test("off a terminal needs --yes", async () => {
    await expect(makeContext().context.confirm(wish)).rejects.toMatchObject({
      code: "usage",
      message: "to revoke codex-1 has to be confirmed; nothing was changed",
      hint: expect.stringContaining("--yes"),
    });
  });

  test.each([{ yes: true }, { dryRun: true }])("is done with %j", async (flags) => {
    await expect(makeContext(flags).context.confirm(wish)).resolves.toBeUndefined();
  });
});

describe("messages", () => {
  test("go to stderr, visible and without secrets, and not at all with --quiet", () => {
    const loud = makeContext({ debug: true });
    const quiet = makeContext({ quiet: true });

    loud.context.notice("hello\u001B[31m mid_test_aaaaaaaaaaaa_secret");
    loud.context.debug("to postgres://me:hunter2@host/db");
    quiet.context.notice("hello");

    expect(loud.written.stderr).toMatch(
      /^hello\\u\{1B\}\[31m mid_test_aaaaaaaaaaaa_\[secret\]\ndebug: [\d.]+ ms: to postgres:\/\/me:\*\*\*@host\/db\n$/,
    );
    expect(loud.written.stdout + quiet.written.stderr).toBe("");
  });
});

describe("progress off a terminal", () => {
  const step = { done: 1, failed: 0, of: 2 };

  test.each(["json", "ndjson"] as const)("is a line of JSON beside %s", (output) => {
    const made = makeContext({ output });

    made.context.progress(step);

    expect(made.written.stderr).toBe('{"progress":{"done":1,"failed":0,"of":2}}\n');
  });

  test("is nothing beside text, which cron would mail", () => {
    const made = makeContext();

    made.context.progress(step);

    expect(made.written.stderr).toBe("");
  });
});

describe("an interruption", () => {
  const message = (context: ReturnType<typeof makeContext>, changes = true) =>
    interruptionOf("SIGINT", context.progress, changes).message;

  test("before anything says that nothing was changed", () => {
    expect(message(makeContext())).toBe("interrupted; nothing was changed");
  });

  test("of a command that changes nothing says just that", () => {
    expect(message(makeContext(), false)).toBe("interrupted");
  });

  test("within a transaction says that it was undone unless it had been committed", async () => {
    const made = makeContext({}, { openDatabase: async () => fakeDatabase() });
    const database = await made.context.database();

    const within = await database.transaction(async () => message(made));

    expect(within).toContain("undone unless it had just been committed");
  });

  test("after a transaction says that what was done stands", async () => {
    const made = makeContext({}, { openDatabase: async () => fakeDatabase() });
    await (await made.context.database()).transaction(async () => undefined);

    expect(message(made)).toBe("interrupted; what was done by then stands");
  });

  test("says what the command wanted said", () => {
    const made = makeContext();
    made.context.standBy("the change stands");

    expect(message(made)).toBe("interrupted; the change stands");
  });
});

describe("an exception that nobody could catch", () => {
  const withDatabase = {
    databaseOpened: true,
    openTransactions: 1,
    transactionsDone: 0,
    standing: undefined,
  };
  const without = { ...withDatabase, databaseOpened: false };

  test("while a database is open is its connection's", () => {
    expect(explainUncaught(new TypeError("x"), "uncaughtException", withDatabase, true)).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("undone unless it had just been committed"),
    });
  });

  test("without a database is our own", () => {
    const error = new TypeError("x");

    expect(explainUncaught(error, "uncaughtException", without, true)).toBe(error);
  });

  test("that is a rejection is the connection's only if it says so", () => {
    const ours = new TypeError("x");
    const theirs = Object.assign(new Error("x"), { code: "CONNECTION_CLOSED" });

    expect(explainUncaught(ours, "unhandledRejection", withDatabase, true)).toBe(ours);
    expect(explainUncaught(theirs, "unhandledRejection", withDatabase, true)).toBeInstanceOf(MidctlError);
  });
});

test("the database is opened once, and only when it is asked for", async () => {
  let opened = 0;
  const openDatabase = async () => {
    opened++;
    return fakeDatabase();
  };
  const { context } = makeContext({}, { openDatabase });
  expect(opened).toBe(0);

  await Promise.all([context.database(), context.database()]);

  expect(opened).toBe(1);
});
