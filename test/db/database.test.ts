import { afterEach, describe, expect, it } from "vitest";
import { databases, type TestDatabase } from "../support/databases.ts";

describe.each(databases())("a database on $name", ({ create, createBare }) => {
  let database: TestDatabase;
  afterEach(() => database.dispose());

  it("answers a statement", async () => {
    database = await createBare();

    expect(await database.db.query("SELECT $1::int + 1 AS sum", [41])).toEqual([{ sum: 42 }]);
  });

  it("is created with its environment", async () => {
    database = await create();

    expect(await database.db.query("SELECT name, live FROM midctl_environment")).toEqual([
      { name: "default", live: false },
    ]);
  });
});
