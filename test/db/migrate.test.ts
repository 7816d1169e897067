import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { migrate, planMigration, readSchemaState } from "../../src/db/migrate.ts";
import { listMigrations } from "../../src/db/migrations.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { databases, postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";

let directory: string;
let database: TestDatabase;

beforeEach(() => {
  directory = mkdtempSync(join(inject("scratch"), "migrations-"));
});
afterEach(() => database.dispose());

function write(name: string, text: string): void {
  writeFileSync(join(directory, name), text);
}

const FIRST = `CREATE TABLE first (a int);
-- Several statements, dollar quotes, and a function that keeps the path it was made on:
CREATE FUNCTION where_am_i() RETURNS text LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN RETURN current_setting('search_path'); END $$;`;
const SECOND = "INSERT INTO first VALUES (2);";

describe.each(databases())("migrations on $name", ({ createBare }) => {
  beforeEach(async () => {
    database = await createBare();
    write("0001_first.sql", FIRST);
    write("0002_second.sql", SECOND);
  });

  it("are all applied, in order, to a fresh database", async () => {
    const result = await migrate(database.db, { directory });

    expect(result).toEqual({ applied: ["0001_first.sql", "0002_second.sql"], current: "0002_second.sql" });
    expect(await database.db.query("SELECT a FROM first")).toEqual([{ a: 2 }]);
    expect(await database.db.query("SELECT name, position FROM midctl_migration ORDER BY position")).toEqual([
      { name: "0001_first.sql", position: 1 },
      { name: "0002_second.sql", position: 2 },
    ]);
  });

  it("are applied once", async () => {
    await migrate(database.db, { directory });

    const again = await migrate(database.db, { directory });

    expect(again).toEqual({ applied: [], current: "0002_second.sql" });
    expect(await database.db.query("SELECT a FROM first")).toEqual([{ a: 2 }]);
  });

  it("go on where an older program stopped", async () => {
    rmSync(join(directory, "0002_second.sql"));
    await migrate(database.db, { directory });
    write("0002_second.sql", SECOND);

    expect((await migrate(database.db, { directory })).applied).toEqual(["0002_second.sql"]);
  });

  it("are all or nothing, and a failure names its file", async () => {
    write("0003_third.sql", "INSERT INTO first VALUES (3); INSERT INTO first VALUES ('three');");

    await expect(migrate(database.db, { directory })).rejects.toMatchObject({
      message: expect.stringMatching(/0003_third\.sql failed/),
      details: { migration: "0003_third.sql" },
    });
    expect(await readSchemaState(database.db, { directory })).toMatchObject({ state: "absent", applied: 0 });
  });

  it("can be looked at beforehand, which leaves nothing", async () => {
    const plan = await planMigration(database.db, { directory });

    expect(plan.applied).toEqual(["0001_first.sql", "0002_second.sql"]);
    expect(plan.statements.map(({ migration, sql }) => [migration, sql.split("\n")[0]])).toEqual([
      ["0001_first.sql", expect.stringMatching(/^SET search_path = \w+, pg_temp$/)],
      ["0001_first.sql", "CREATE TABLE midctl_migration ("],
      ["0001_first.sql", "CREATE TABLE first (a int)"],
      [
        "0001_first.sql",
        "CREATE FUNCTION where_am_i() RETURNS text LANGUAGE plpgsql SET search_path FROM CURRENT",
      ],
      ["0001_first.sql", expect.stringContaining("INSERT INTO midctl_migration")],
      ["0002_second.sql", "INSERT INTO first VALUES (2)"],
      ["0002_second.sql", expect.stringContaining("INSERT INTO midctl_migration")],
    ]);
    expect(await readSchemaState(database.db, { directory })).toMatchObject({ state: "absent" });
    expect(await database.db.query("SELECT to_regclass('midctl_migration') AS history")).toEqual([
      { history: null },
    ]);
  });

  it("stop at an applied file that was edited since", async () => {
    await migrate(database.db, { directory });
    write("0001_first.sql", `${FIRST} `);
    write("0003_third.sql", "CREATE TABLE third (a int)");

    await expect(migrate(database.db, { directory })).rejects.toMatchObject({
      code: "schema_version",
      message: expect.stringMatching(/0001_first\.sql was edited/),
    });
    expect(await database.db.query("SELECT to_regclass('third') AS third")).toEqual([{ third: null }]);
  });

  it("stop at a file put in between", async () => {
    await migrate(database.db, { directory });
    await database.db.query("DELETE FROM midctl_migration WHERE position = 1");

    await expect(migrate(database.db, { directory })).rejects.toMatchObject({
      code: "schema_version",
      message: expect.stringMatching(/0001_first\.sql was never applied/),
    });
  });

  it("refuse a newer schema, and say to upgrade midctl", async () => {
    await migrate(database.db, { directory });
    rmSync(join(directory, "0002_second.sql"));

    await expect(migrate(database.db, { directory })).rejects.toMatchObject({
      code: "schema_version",
      message: expect.stringMatching(/0002_second\.sql, which this midctl does not know/),
      hint: expect.stringMatching(/upgrade midctl/),
    });
    expect(await readSchemaState(database.db, { directory })).toEqual({
      state: "newer",
      applied: 2,
      known: 1,
    });
  });

  it("pin functions to the schema they are made in", async () => {
    await database.db.query("CREATE SCHEMA midctl_home");
    const [row] = await database.db.query<{ path: string }>("SELECT current_setting('search_path') AS path");

    await database.db.transaction(async (tx) => {
      await tx.query("SELECT set_config('search_path', 'midctl_home', false)");
    });
    await migrate(database.db, { directory }).finally(() =>
      database.db.query("SELECT set_config('search_path', $1, false)", [row?.path ?? ""]),
    );

    expect(await database.db.query("SELECT midctl_home.where_am_i() AS path")).toEqual([
      { path: "midctl_home, pg_temp" },
    ]);
    await database.db.query("DROP SCHEMA midctl_home CASCADE");
  });

  it("tell where a database stands", async () => {
    const states = [await readSchemaState(database.db, { directory })];
    rmSync(join(directory, "0002_second.sql"));
    await migrate(database.db, { directory });
    states.push(await readSchemaState(database.db, { directory }));
    write("0002_second.sql", SECOND);
    states.push(await readSchemaState(database.db, { directory }));

    expect(states).toEqual([
      { state: "absent", applied: 0, known: 2 },
      { state: "current", applied: 1, known: 1 },
      { state: "behind", applied: 1, known: 2 },
    ]);
  });

  it("make an environment and a log once, or not where it is to be bare", async () => {
    write(
      "0003_environment.sql",
      "CREATE TABLE midctl_environment (one bool PRIMARY KEY DEFAULT true, id uuid DEFAULT gen_random_uuid())",
    );
    const count = () => database.db.query<{ id: string }>("SELECT id FROM midctl_environment");

    await migrate(database.db, { directory, bare: true });
    expect(await count()).toHaveLength(0);
    await migrate(database.db, { directory });
    const [first] = await count();
    await migrate(database.db, { directory });
    expect(await count()).toEqual([first]);
  });
});

describe("the files", () => {
  beforeEach(async () => {
    const db = openPostgres({ url: "postgres://u@localhost/d" });
    database = {
      db,
      direct: db,
      url: null,
      pglite: null,
      dispose: async () => {},
    };
  });

  it.each([
    ["a gap", ["0001_a.sql", "0003_c.sql"], "0003_c.sql stands where 0002 should"],
    ["a double", ["0001_a.sql", "0001_b.sql"], "0001_b.sql stands where 0002 should"],
    ["a late start", ["0002_b.sql"], "0002_b.sql stands where 0001 should"],
  ])("are refused with %s in their numbers", (_, names, message) => {
    for (const name of names) write(name, "");

    expect(() => listMigrations(directory)).toThrow(message);
  });

  it("may lie beside others", () => {
    write("0001_a.sql", "");
    write("README.md", "");
    mkdirSync(join(directory, "meta"));

    expect(listMigrations(directory)).toEqual(["0001_a.sql"]);
  });
});

describe.each(postgresDatabases())("ten programs at once on $name", ({ createBare }) => {
  it("all succeed, and one of them applies each file", async () => {
    database = await createBare();
    const { url } = database;
    const programs = Array.from({ length: 10 }, () => openPostgres({ url: url ?? "" }));

    const results = await Promise.all(programs.map((db) => migrate(db)));

    expect(results.flatMap(({ applied }) => applied).sort()).toEqual(listMigrations());
    expect(await runSql(url ?? "", "SELECT count(*)::int AS count FROM midctl_environment")).toEqual([
      { count: 1 },
    ]);
    await Promise.all(programs.map((db) => db.close()));
  });
});
