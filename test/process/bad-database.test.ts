import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { listMigrations } from "../../src/db/migrations.ts";
import { postgresDatabases, runSql, type TestDatabase, urlOf } from "../support/databases.ts";
import type { TestServer } from "../support/launcher.ts";
import { listen, openProxy, type TestProxy } from "../support/proxy.ts";
import { type Answer, type Desk, holdIdentity, openDesk, readRefusal, type Words } from "./desk.ts";

let desk: Desk;

beforeAll(async () => {
  desk = await openDesk();
  await desk.identity("bot");
});
afterAll(() => desk.dispose());

function newestServer(): TestServer {
  const [server] = inject("servers");
  if (server === undefined) throw new Error("no PostgreSQL server");
  return server;
}

/** A statement about databases and roles, from outside of the one under test. */
const inLobby = (text: string) => runSql(urlOf(newestServer(), "postgres"), text);

/** Commands that read and commands that change, of every kind. */
const COMMANDS: readonly string[] = [
  "list",
  "status",
  "audit",
  "identity create x --owner y",
  "credential issue bot --token-file ./never",
  "pause bot",
  "db migrate",
];

describe("a database that is down", () => {
  it.each(COMMANDS)("is exit 7 for `%s`, and nothing is left behind", async (words) => {
    const refusal = readRefusal(
      await desk.run(`${words} --json`, {
        env: { MIDCTL_DATABASE_URL: "postgres://midctl:hunter2@127.0.0.1:1/midctl" },
      }),
    );

    expect(refusal).toMatchObject({ exit: 7, code: "unavailable" });
    expect(JSON.stringify(refusal)).not.toContain("hunter2");
    expect(existsSync(join(desk.directory, "never"))).toBe(false);
  });

  it("is said to be not there where it is the database that is missing, or the socket, or the host", async () => {
    const places: [string, RegExp][] = [
      [urlOf(newestServer(), "no_such_database"), /named database is not/],
      ["postgres://u@%2Fno%2Fsuch%2Fplace/x", /socket does not exist/],
      ["postgres://u@no-such-host.invalid/x?sslmode=disable", /host name/],
    ];
    for (const [url, words] of places) {
      const refusal = await desk.refuse("list", { env: { MIDCTL_DATABASE_URL: url } });
      expect(refusal).toMatchObject({ exit: 7, message: expect.stringMatching(words) });
    }
  });

  it("is given up on after the time that its URL allows, where it accepts and says nothing", async () => {
    const silent = createServer();
    const port = await listen(silent);
    try {
      const url = `postgres://u@127.0.0.1:${port}/x?connect_timeout=1`;
      expect(await desk.refuse("list", { env: { MIDCTL_DATABASE_URL: url } })).toMatchObject({
        exit: 7,
        message: "The database did not answer in time.",
      });
    } finally {
      silent.close();
    }
  });

  it("leaves what needs no database working", async () => {
    const env = { MIDCTL_DATABASE_URL: "postgres://u@127.0.0.1:1/x" };
    for (const words of ["help tokens", "version", "completion bash", "context list"]) {
      expect((await desk.run(words, { env })).code).toBe(0);
    }
  });
});

describe("a URL that cannot be used", () => {
  it.each([
    "mysql://u:hunter2@h/x",
    "postgres://u:hunter2@h/x?channel_binding=require",
    "postgres://u:hunter2@h:99999/x",
    "postgres://u:hunter2@h/x?sslmode=prefer",
    "postgres://",
  ])("%s is a usage error that does not show it", async (url) => {
    const refusal = await desk.refuse("list", {
      env: { MIDCTL_DATABASE_URL: url },
    });

    expect(refusal).toMatchObject({ exit: 2, code: "usage" });
    expect(JSON.stringify(refusal)).not.toContain("hunter2");
  });

  it("in argv with a password is refused whatever the database says", async () => {
    const result = await desk.run(["list", "--debug", "--database-url", "postgres://u:hunter2@h/x"]);

    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("holds a password");
    expect(result.stderr).not.toContain("hunter2");
  });
});

describe("a database that only reads", () => {
  let name: string;
  // The default is for sessions that begin after it: a pooler has older ones.
  const on = () => ({ env: { MIDCTL_DATABASE_URL: desk.directUrl } });

  beforeAll(async () => {
    name = new URL(desk.url).pathname.slice(1);
    await inLobby(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  });
  afterAll(() => inLobby(`ALTER DATABASE ${name} RESET default_transaction_read_only`));

  it("is read", async () => {
    expect(await desk.ask("list", on())).toMatchObject({ identities: [{ slug: "bot" }] });
    expect(await desk.ask("db status", on())).toMatchObject({ server: { readOnly: true } });
  });

  it.each(["identity create x --owner y", "credential issue bot --token-file ./never", "pause bot"])(
    "is exit 7 for `%s`, which leaves no file",
    async (words) => {
      expect(await desk.refuse(words, on())).toMatchObject({
        exit: 7,
        code: "unavailable",
        message: "The database is read-only; nothing was changed.",
      });
      expect(existsSync(join(desk.directory, "never"))).toBe(false);
    },
  );
});

describe("a database of another schema", () => {
  let other: TestDatabase;
  const on = (): { env: Record<string, string> } => ({ env: { MIDCTL_DATABASE_URL: other.url ?? "" } });

  beforeAll(async () => {
    const [newest] = postgresDatabases();
    if (newest === undefined) throw new Error("no PostgreSQL server");
    other = await newest.createBare();
  });
  afterAll(() => other.dispose());

  it("that has none yet is exit 7, naming `db migrate`; a dry run of that changes nothing", async () => {
    expect(await desk.refuse("list", on())).toMatchObject({
      exit: 7,
      code: "schema_version",
      hint: expect.stringContaining("midctl db migrate"),
    });
    const { applied } = await desk.ask("db migrate --dry-run", on());
    expect(applied.length).toBeGreaterThan(0);
    expect(await desk.ask("db status", on())).toMatchObject({ schema: { state: "absent" } });
  });

  it("that has none yet is not named by a dry run of `db init`", async () => {
    expect(await desk.refuse("db init --environment staging --dry-run", on())).toMatchObject({ exit: 7 });
    expect(await desk.ask("db status", on())).toMatchObject({ schema: { state: "absent" } });
  });

  it("that ten make at once has each file made by one, and all ten succeed", async () => {
    const runs = await Promise.all(Array.from({ length: 10 }, () => desk.ask("db migrate", on())));

    expect(runs.flatMap(({ applied }) => applied).sort()).toEqual(listMigrations());
    expect(await desk.ask("db status", on())).toMatchObject({ schema: { state: "current" } });
  });

  it("that is newer is exit 7 for everything but looking at it", async () => {
    await runSql(
      other.url ?? "",
      `INSERT INTO midctl_migration (name, position, hash) VALUES ('9999_future.sql', 9999, 'x')`,
    );
    for (const words of COMMANDS) {
      const refusal = await desk.refuse(words, on());
      expect(refusal).toMatchObject({ exit: 7, code: "schema_version" });
      expect(refusal.message).toMatch(/newer|does not know/);
    }
    expect(await desk.ask("db status", on())).toMatchObject({ schema: { state: "newer" } });
    const examined = await desk.run("doctor --json", on());
    expect(examined.code).toBe(9);
    expect(JSON.parse(examined.stdout).findings[0]).toMatchObject({
      check: "schema",
      mend: "upgrade midctl",
    });
    expect(existsSync(join(desk.directory, "never"))).toBe(false);
  });
});

describe("a database without a connection left", () => {
  const role = `crowded_${randomBytes(4).toString("hex")}`;
  beforeAll(() => inLobby(`CREATE ROLE ${role} LOGIN CONNECTION LIMIT 0`));
  afterAll(() => inLobby(`DROP ROLE ${role}`));

  it("is exit 7 and says so", async () => {
    // As the server says it: pgbouncer makes one SQLSTATE (08P01) of all that a server refuses it.
    const url = desk.directUrl.replace(/\/\/[^@]+@/, `//${role}@`);

    expect(await desk.refuse("pause bot", { env: { MIDCTL_DATABASE_URL: url } })).toMatchObject({
      exit: 7,
      message: "The database has no connection left for us.",
      details: { sqlState: "53300" },
    });
  });
});

describe("a connection that is lost", () => {
  let proxied: Desk;
  let proxy: TestProxy;
  let through: { env: { MIDCTL_DATABASE_URL: string } };

  beforeAll(async () => {
    const server = newestServer();
    proxied = await openDesk();
    proxy = await openProxy(server);
    const database = new URL(proxied.url).pathname;
    through = {
      env: { MIDCTL_DATABASE_URL: `postgres://${server.user}@127.0.0.1:${proxy.port}${database}` },
    };
    await proxied.identity("bot");
  });
  afterAll(async () => {
    await proxy.close();
    await proxied.dispose();
  });

  /** The first COMMIT meets this fate; everything else passes. */
  function atCommit(fate: "cut" | "deliver", afterwards: () => void = () => undefined): () => boolean {
    let met = false;
    proxy.onClientData = (text) => {
      if (met || !text.includes("COMMIT\0")) return "pass";
      met = true;
      afterwards();
      return fate;
    };
    return () => met;
  }

  const changes: readonly [string, Words, (desk: Desk) => Promise<unknown>, unknown, unknown][] = [
    [
      "create",
      "identity create one --owner x",
      async (desk) => (await desk.run("identity show one")).code,
      3,
      0,
    ],
    [
      "issue",
      "credential issue bot",
      async (desk) =>
        (await desk.ask("list tokens --identity bot")).tokens
          .map(({ name }: Answer) => name)
          .filter((name: string) => name === "bot/default"),
      [],
      ["bot/default"],
    ],
    [
      "pause",
      "pause bot",
      async (desk) => (await desk.ask("identity show bot")).identity.status,
      "active",
      "paused",
    ],
  ];

  it.each(changes)(
    "before COMMIT reached the server: %s did not happen, exit 7",
    async (_, words, look, before) => {
      const met = atCommit("cut");

      const refusal = await proxied.refuse(words, through);

      expect(met()).toBe(true);
      expect(refusal).toMatchObject({ exit: 7, code: "unavailable", details: { commit: "aborted" } });
      expect(refusal.message).toContain("nothing was changed");
      expect(await look(proxied)).toEqual(before);
    },
  );

  it("before COMMIT reached the server: the token file is taken back", async () => {
    atCommit("cut");

    expect(await proxied.refuse("credential issue bot --token-file ./lost", through)).toMatchObject({
      exit: 7,
    });

    expect(existsSync(join(proxied.directory, "lost"))).toBe(false);
  });

  it("and nobody to ask: it is unknown, and the token file stays for the retry that finds out", async () => {
    const fates = [
      ["cut", true],
      ["deliver", false],
    ] as const;
    await Promise.all(
      fates.map(async ([fate, created]) => {
        const doomed = await openProxy(newestServer());
        let met = false;
        doomed.onClientData = (text) => {
          if (met) return "cut";
          met = text.includes("COMMIT\0");
          return met ? fate : "pass";
        };
        const file = `./unknown-${fate}`;
        const words = `credential issue bot --name ${fate} --token-file ${file}`;

        const refusal = await proxied.refuse(words, {
          env: {
            MIDCTL_DATABASE_URL: through.env.MIDCTL_DATABASE_URL.replace(`:${proxy.port}`, `:${doomed.port}`),
          },
        });

        expect(refusal).toMatchObject({
          exit: 7,
          details: { commit: "unknown" },
          hint: expect.stringContaining("run the same command again"),
        });
        expect(refusal.message).toContain("unknown whether");
        expect(readFileSync(join(proxied.directory, file), "utf8")).toMatch(/^mid_test_/);
        expect(await proxied.ask(words)).toMatchObject({ created });
        await doomed.close();
      }),
    );
  });

  it.each(changes)("after the server committed: %s happened, exit 0", async (_, words, look, __, after) => {
    const met = atCommit("deliver");

    const result = await proxied.run([...String(words).split(" "), "--json"], through);

    expect(met()).toBe(true);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(await look(proxied)).toEqual(after);
  });

  it("during an activation is judged the same way", async () => {
    await proxied.identity("actor");
    const { token } = await proxied.issue("actor");
    atCommit("cut");
    expect(await proxied.refuse("credential activate", { ...through, stdin: token })).toMatchObject({
      exit: 7,
      details: { commit: "aborted" },
    });
    atCommit("deliver");
    const result = await proxied.run("credential activate --json", { ...through, stdin: token });

    expect(result).toMatchObject({ code: 0 });
    expect(JSON.parse(result.stdout)).toMatchObject({ changed: true, credential: { status: "active" } });
  });

  it("in the middle of the transaction: nothing was changed, exit 7", async () => {
    proxy.onClientData = (text) => (text.includes("INSERT INTO machine_identity") ? "cut" : "pass");

    const refusal = await proxied.refuse("identity create middle --owner x", through);

    expect(refusal).toMatchObject({
      exit: 7,
      message: "The connection to the database was lost; nothing was changed.",
    });
    expect((await proxied.run("identity show middle")).code).toBe(3);
  });

  it("while it only reads: exit 7", async () => {
    proxy.onClientData = (text) => (text.includes("FROM machine_identity") ? "cut" : "pass");

    expect(await proxied.refuse("list", through)).toMatchObject({ exit: 7, code: "unavailable" });
  });

  it("because an administrator ended it while it waited for a lock: nothing was changed, exit 7", async () => {
    proxy.onClientData = () => "pass";
    await proxied.ask("resume bot");
    const held = await holdIdentity(proxied, "bot");
    const running = proxied.refuse("pause bot");
    const [waiting] = await held.waiting(1);
    await proxied.sql("SELECT pg_terminate_backend($1::int)", [waiting ?? 0]);

    expect(await running).toMatchObject({ exit: 7, message: expect.stringContaining("nothing was changed") });

    await held.release();
    expect(await proxied.ask("identity show bot")).toMatchObject({ identity: { status: "active" } });
  });
});
