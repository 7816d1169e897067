import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { postgresDatabases, type TestDatabase, urlOf } from "../support/databases.ts";
import { openPooler, PGBOUNCER, type Pooler } from "../support/pooler.ts";

const [factory] = postgresDatabases();
const [server] = inject("servers");
if (factory === undefined || server === undefined) throw new Error("no server");

describe.runIf(PGBOUNCER !== null)("through pgbouncer, pooling by transaction", () => {
  let database: TestDatabase;
  let pooler: Pooler;
  const opened: Database[] = [];
  beforeAll(async () => {
    database = await factory.createBare();
    pooler = await openPooler(server, inject("scratch"), { sessions: 4 });
    await database.db.query("CREATE TABLE note (text text)");
  });
  afterAll(async () => {
    for (const db of opened) await db.close();
    await pooler.stop();
    await database.dispose();
  });

  const through = (max: number): Database => {
    const name = new URL(database.url ?? "").pathname.slice(1);
    const db = openPostgres({ url: urlOf(pooler.server, name) }, { max });
    opened.push(db);
    return db;
  };

  it("statements run again and again, on whatever session they get", async () => {
    const db = through(8);

    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, index) => db.query("SELECT $1::int + 1 AS next", [index])),
    );

    expect(answers).toEqual(Array.from({ length: 400 }, (_, index) => [{ next: index + 1 }]));
  });

  it("statements with parameters and without come in any order, on one session of the server", async () => {
    const narrow = await openPooler(server, inject("scratch"), { sessions: 1 });
    const url = urlOf(narrow.server, new URL(database.url ?? "").pathname.slice(1));
    const dbs = [openPostgres({ url }, { max: 2 }), openPostgres({ url }, { max: 2 })];

    const rounds = dbs.flatMap((db) =>
      Array.from({ length: 60 }, (_, index) =>
        index % 3 === 0 ? db.query("SELECT 1 AS one") : db.query(`SELECT $1::int AS n${index % 5}`, [index]),
      ),
    );

    expect(await Promise.all(rounds)).toHaveLength(120);
    for (const db of dbs) await db.close();
    await narrow.stop();
  });

  it("transactions stay whole beside each other, each change made once", async () => {
    const db = through(8);

    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        db.transaction(async (tx) => {
          const [before] = await tx.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
          await tx.query("INSERT INTO note VALUES ($1)", [`${index}`]);
          const [after] = await tx.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
          expect(after).toEqual(before);
        }),
      ),
    );

    const [row] = await database.db.query(
      "SELECT count(*)::int AS notes, count(DISTINCT text)::int AS texts FROM note",
    );
    expect(row).toEqual({ notes: 100, texts: 100 });
  });

  it("a session runs in UTC, whoever had it before", async () => {
    const other = openPostgres({ url: urlOf(pooler.server, new URL(database.url ?? "").pathname.slice(1)) });
    opened.push(other);
    await other.query("SET TimeZone = 'Asia/Kolkata'");

    const zones = await Promise.all(
      Array.from({ length: 20 }, () => through(1).query("SELECT current_setting('TimeZone') AS zone")),
    );

    expect(zones).toEqual(Array.from({ length: 20 }, () => [{ zone: "UTC" }]));
  });

  it("no statement is left behind in a session of the server", async () => {
    const db = through(2);
    for (let run = 0; run < 5; run++) await db.query("SELECT $1::text AS left_behind", ["x"]);

    const found = await Promise.all(
      Array.from({ length: 4 }, () =>
        db.transaction((tx) => tx.query("SELECT statement FROM pg_prepared_statements WHERE name <> ''")),
      ),
    );

    expect(found.flat()).toEqual([]);
  });

  it("listening is refused, since nothing would be heard", async () => {
    const listening = through(1).listen(["news"], { heard: () => undefined, lost: () => undefined });

    await expect(listening).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/pooler/),
      details: { pooled: true },
    });
  });
});
