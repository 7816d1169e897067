import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { CommitUnknown } from "../../src/db/failure.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { postgresDatabases, runSql, type TestDatabase, urlOf } from "../support/databases.ts";
import { listen, openProxy, type TestProxy } from "../support/proxy.ts";

const [server] = inject("servers");
const [factory] = postgresDatabases();
if (server === undefined || factory === undefined) throw new Error("no server");

let database: TestDatabase;
let url: string;
const opened: Database[] = [];

beforeEach(async () => {
  database = await factory.createBare();
  url = database.url ?? "";
  await database.db.query("CREATE TABLE note (text text PRIMARY KEY)");
});

afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
  await database.dispose();
});

function open(max?: number): Database {
  const db = openPostgres({ url }, max === undefined ? {} : { max });
  opened.push(db);
  return db;
}

function nameOf(target: string): string {
  return new URL(target).pathname.slice(1);
}

async function notes(): Promise<string[]> {
  const rows = await runSql<{ text: string }>(url, "SELECT text FROM note ORDER BY text");
  return rows.map(({ text }) => text);
}

describe("a session", () => {
  it("runs in UTC, whatever the database's default, under the name it was given", async () => {
    await runSql(url, `ALTER DATABASE ${nameOf(url)} SET timezone TO 'Asia/Kolkata'`);
    const db = openPostgres({ url }, { applicationName: "midctl test" });
    opened.push(db);

    const rows = await db.query(
      "SELECT current_setting('TimeZone') AS zone, current_setting('application_name') AS name",
    );

    expect(rows).toEqual([{ zone: "UTC", name: "midctl test" }]);
  });

  it("prepares a statement once, however often it runs", async () => {
    // In a session of its own: none is left in one that a pooler lends (pooler.test.ts).
    const db = openPostgres({ url: database.directUrl ?? "" }, { max: 1 });
    opened.push(db);

    for (const text of ["a", "b", "c"]) await db.query("INSERT INTO note VALUES ($1)", [text]);

    const [row] = await db.query(
      "SELECT count(*)::int AS count FROM pg_prepared_statements WHERE statement LIKE 'INSERT%'",
    );
    expect(row).toEqual({ count: 1 });
  });

  it("connects by a socket directory", async () => {
    const { socketDir, port, user } = server;
    const db = openPostgres({ socketDir, port, user, database: "postgres" });
    opened.push(db);

    expect(await db.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("refuses several statements in one", async () => {
    await expect(
      open().query("INSERT INTO note VALUES ('a'); INSERT INTO note VALUES ('b')"),
    ).rejects.toMatchObject({
      code: "internal",
    });
    expect(await notes()).toEqual([]);
  });
});

describe("connections", () => {
  it("are not opened before they are needed", async () => {
    const proxy = await openProxy(server);
    const db = openPostgres({ url: `postgres://postgres@127.0.0.1:${proxy.port}/postgres` });

    await db.close();

    expect(proxy.connections).toBe(0);
    await proxy.close();
  });

  it("are never more than `max`, whatever is asked at once", async () => {
    const db = open(2);

    const transactions = Array.from({ length: 6 }, (_, at) =>
      db.transaction(async (tx) => {
        await tx.query("INSERT INTO note VALUES ($1)", [`t${at}`]);
        const [row] = await tx.query<{ count: number }>(
          "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'midctl'",
        );
        return row?.count ?? 0;
      }),
    );
    const queries = Array.from({ length: 20 }, (_, at) =>
      db.query("INSERT INTO note VALUES ($1)", [`q${at}`]),
    );

    const counts = await Promise.all(transactions);
    await Promise.all(queries);
    expect(await notes()).toHaveLength(26);
    // One more is the factory's own, which made the table.
    expect(Math.max(...counts)).toBeLessThanOrEqual(3);
  });

  it("are left to a transaction alone: statements beside it do not end up in it", async () => {
    const db = open(1);

    const rolledBack = db.transaction(async (tx) => {
      await tx.query("INSERT INTO note VALUES ('inside')");
      throw new Error("changed my mind");
    });
    const beside = db.query("INSERT INTO note VALUES ('beside')");

    await expect(rolledBack).rejects.toThrow("changed my mind");
    await beside;
    expect(await notes()).toEqual(["beside"]);
  });

  it("are closed at once, and what was under way says so", async () => {
    const db = open();
    const slow = db.query("SELECT pg_sleep(30)");
    const before = performance.now();

    await db.close();

    await expect(slow).rejects.toMatchObject({ code: "unavailable" });
    expect(performance.now() - before).toBeLessThan(1000);
    await expect(db.query("SELECT 1")).rejects.toMatchObject({ code: "unavailable" });
    await expect(db.transaction(async () => 1)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("a transaction", () => {
  it("is READ COMMITTED whatever the database's default", async () => {
    await runSql(url, `ALTER DATABASE ${nameOf(url)} SET default_transaction_isolation TO serializable`);

    const rows = await open().transaction((tx) =>
      tx.query("SELECT current_setting('transaction_isolation') AS level"),
    );

    expect(rows).toEqual([{ level: "read committed" }]);
  });

  it("sends BEGIN together with its first statement", async () => {
    const proxy = await openProxy(server);
    const db = openPostgres({ url: `postgres://postgres@127.0.0.1:${proxy.port}/postgres` });
    opened.push(db);
    await db.query("SELECT 1");
    const sent: string[] = [];
    proxy.onClientData = (text) => {
      sent.push(text);
      return "pass";
    };

    await db.transaction((tx) => tx.query("SELECT 2"));

    expect(sent[0]).toMatch(/BEGIN[\s\S]*SELECT 2/);
    expect(sent).toHaveLength(2);
    await proxy.close();
  });

  it("is run again after a deadlock, until both are through", async () => {
    const db = open();
    await db.query("INSERT INTO note VALUES ('a'), ('b')");
    let attempts = 0;
    let met = 0;
    let meet = () => {};
    const both = new Promise<void>((resolve) => {
      meet = resolve;
    });
    const lockInOrder = (first: string, second: string) =>
      db.transaction(async (tx) => {
        attempts += 1;
        await tx.query("SELECT FROM note WHERE text = $1 FOR UPDATE", [first]);
        met += 1;
        if (met === 2) meet();
        await both;
        await tx.query("SELECT FROM note WHERE text = $1 FOR UPDATE", [second]);
      });

    await Promise.all([lockInOrder("a", "b"), lockInOrder("b", "a")]);

    expect(attempts).toBe(3);
  });

  it("is given up after three repetitions, with its SQLSTATE", async () => {
    let attempts = 0;

    const failing = open().transaction(async (tx) => {
      attempts += 1;
      await tx.script("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$");
    });

    await expect(failing).rejects.toMatchObject({ code: "unavailable", details: { sqlState: "40001" } });
    expect(attempts).toBe(4);
  });

  it("is run again when the failure comes with COMMIT", async () => {
    const db = open();
    await db.transaction((tx) =>
      tx.script(`
        CREATE SEQUENCE attempt;
        CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('attempt') < 3 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION fail_twice();`),
    );

    await db.transaction((tx) => tx.query("INSERT INTO note VALUES ('third time lucky')"));

    expect(await notes()).toEqual(["third time lucky"]);
  });

  it("runs statements in the order given, awaited or not, prepared already or not", async () => {
    const texts = Array.from({ length: 50 }, (_, at) => `n${at}`);
    // Every third is a statement of its own, which has to be described before it can run.
    const insert = (at: number) => `INSERT INTO note VALUES ($1)${at % 3 === 0 ? ` -- ${at}` : ""}`;

    await open().transaction((tx) => Promise.all(texts.map((text, at) => tx.query(insert(at), [text]))));

    const stored = await runSql<{ text: string }>(url, "SELECT text FROM note ORDER BY ctid");
    expect(stored.map(({ text }) => text)).toEqual(texts);
  });
});

describe("a connection that goes", () => {
  let proxy: TestProxy;
  let db: Database;

  beforeEach(async () => {
    proxy = await openProxy(server);
    const name = new URL(url).pathname;
    db = openPostgres({ url: `postgres://postgres@127.0.0.1:${proxy.port}${name}` });
    opened.push(db);
  });
  afterEach(() => proxy.close());

  it("during a statement: unavailable", async () => {
    proxy.onClientData = (text) => (text.includes("pg_sleep") ? "cut" : "pass");

    await expect(db.query("SELECT pg_sleep(0)")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("between two statements of a transaction: nothing was changed, nothing runs outside of it", async () => {
    const failing = db.transaction(async (tx) => {
      await tx.query("INSERT INTO note VALUES ('a')");
      proxy.cut();
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.allSettled([
        tx.query("INSERT INTO note VALUES ('b')"),
        tx.query("INSERT INTO note VALUES ('c')"),
      ]);
      await tx.query("INSERT INTO note VALUES ($1)", ["d"]);
    });

    await expect(failing).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/nothing was changed/),
    });
    expect(await notes()).toEqual([]);
  });

  it("while statements wait for their turn: all of them fail, none runs outside", async () => {
    await db.query("SELECT 1");
    proxy.onClientData = (text) => (text.includes("INSERT") ? "cut" : "pass");

    const failing = db.transaction((tx) =>
      Promise.allSettled(
        ["a", "b", "c"].map((text) => tx.query(`INSERT INTO note VALUES ($1) -- ${text}`, [text])),
      ),
    );

    await expect(failing).rejects.toMatchObject({ code: "unavailable" });
    proxy.onClientData = () => "pass";
    await db.query("SELECT 1");
    expect(await notes()).toEqual([]);
  });

  it("before COMMIT reaches the server: unknown whether the change was made", async () => {
    proxy.onClientData = (text) => (text.includes("COMMIT\0") ? "cut" : "pass");

    const committed = db.transaction((tx) => tx.query("INSERT INTO note VALUES ('a')"));

    await expect(committed).rejects.toBeInstanceOf(CommitUnknown);
    expect(await notes()).toEqual([]);
  });

  it("after COMMIT has reached the server: unknown, and here it was made", async () => {
    proxy.onClientData = (text) => (text.includes("COMMIT\0") ? "deliver" : "pass");

    const committed = db.transaction((tx) => tx.query("INSERT INTO note VALUES ('a')"));

    await expect(committed).rejects.toMatchObject({ code: "unavailable", details: { commit: "unknown" } });
    await expect.poll(notes).toEqual(["a"]);
  });

  it("is replaced by a new one for the next statement", async () => {
    await db.query("SELECT 1");
    proxy.cut();
    await new Promise((resolve) => setImmediate(resolve));
    await db.query("SELECT 1").catch(() => undefined);

    expect(await db.query("SELECT 2 AS two")).toEqual([{ two: 2 }]);
  });

  it("by pg_terminate_backend: unavailable", async () => {
    const failing = db.transaction((tx) => tx.query("SELECT pg_terminate_backend(pg_backend_pid())"));

    await expect(failing).rejects.toMatchObject({ code: "unavailable" });
  });

  it("at any moment, again and again, never hangs and never half-commits", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        setTimeout(() => proxy.cut(), at * 3);
        const work = db.transaction((tx) =>
          Promise.all([
            tx.query("INSERT INTO note VALUES ($1)", [`${at}a`]),
            tx.query("INSERT INTO note VALUES ($1)", [`${at}b`]),
          ]),
        );
        return work.then(
          () => "made",
          (error: unknown) => (error instanceof CommitUnknown ? "unknown" : "not made"),
        );
      }),
    );

    const stored = new Set(await notes());
    for (const [at, outcome] of outcomes.entries()) {
      expect(stored.has(`${at}a`)).toBe(stored.has(`${at}b`));
      if (outcome !== "unknown") expect(stored.has(`${at}a`)).toBe(outcome === "made");
    }
  });
});

describe("a server that cannot be used", () => {
  async function failure(target: string): Promise<unknown> {
    const db = openPostgres({ url: target });
    opened.push(db);
    return db.transaction((tx) => tx.query("SELECT 1")).catch((error: unknown) => error);
  }

  it("whose port nobody listens on", async () => {
    expect(await failure("postgres://u:hunter2@127.0.0.1:1/d")).toMatchObject({
      code: "unavailable",
      details: { reason: "ECONNREFUSED" },
    });
  });

  it("whose socket is not there", async () => {
    expect(await failure("postgres://u@%2Fnonexistent/d")).toMatchObject({
      code: "unavailable",
      message: "The database's socket does not exist.",
    });
  });

  it("whose database is not there", async () => {
    expect(await failure(urlOf(server, "nobody_made_this"))).toMatchObject({
      code: "unavailable",
      details: { sqlState: "3D000" },
    });
  });

  it("that does not know the user", async () => {
    expect(await failure(urlOf(server, "postgres").replace("postgres@", "stranger@"))).toMatchObject({
      code: "unavailable",
      message: "The database refused this user or password.",
    });
  });

  it("that has no connection left", async () => {
    await runSql(url, "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0");

    // As the server says it: pgbouncer makes one SQLSTATE (08P01) of all that a server refuses it.
    const error = await failure((database.directUrl ?? "").replace("postgres@", "crowded@"));

    await runSql(url, "DROP ROLE crowded");
    expect(error).toMatchObject({
      code: "unavailable",
      message: "The database has no connection left for us.",
    });
  });

  it("that hangs up on everybody", async () => {
    const rude = createServer((socket) => socket.destroy());
    const port = await listen(rude);

    expect(await failure(`postgres://u@127.0.0.1:${port}/d`)).toMatchObject({ code: "unavailable" });
    rude.close();
  });

  it("that never answers", async () => {
    const silent = createServer((socket) => socket.unref());
    const port = await listen(silent);

    expect(await failure(`postgres://u@127.0.0.1:${port}/d?connect_timeout=1`)).toMatchObject({
      code: "unavailable",
      message: "The database did not answer in time.",
    });
    silent.close();
  });
});
