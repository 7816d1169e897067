import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { databases, type TestDatabase } from "../support/databases.ts";

describe.each(databases())("a test database on $name", ({ create }) => {
  let database: TestDatabase;
  afterEach(() => database.dispose());

  it("has every migration applied and an environment", async () => {
    database = await create();

    expect(await database.db.query("SELECT name, live FROM midctl_environment")).toEqual([
      { name: "default", live: false },
    ]);
  });
});

describe.each(databases())("a transaction on $name", ({ createBare }) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createBare();
    await database.db.query("CREATE TABLE note (text text PRIMARY KEY)");
  });
  afterEach(() => database.dispose());

  async function notes(): Promise<string[]> {
    return (await database.db.query<{ text: string }>("SELECT text FROM note ORDER BY text")).map(
      ({ text }) => text,
    );
  }

  it("keeps all that was done in it, and gives what its work gives", async () => {
    const given = await database.db.transaction(async (tx) => {
      await tx.query("INSERT INTO note VALUES ('a')");
      await tx.script("INSERT INTO note VALUES ('b'); INSERT INTO note VALUES ('c')");
      return 42;
    });

    expect(given).toBe(42);
    expect(await notes()).toEqual(["a", "b", "c"]);
  });

  it("keeps nothing when its work throws, and throws the same, untranslated", async () => {
    const thrown = Object.assign(new Error("disk full"), { code: "ENOSPC" });

    const failing = database.db.transaction(async (tx) => {
      await tx.query("INSERT INTO note VALUES ('a')");
      throw thrown;
    });

    await expect(failing).rejects.toBe(thrown);
    expect(await notes()).toEqual([]);
  });

  it.each([[undefined], [{}], [1n], [Symbol("s")]])(
    "is told that %o is no parameter, and goes on",
    async (param) => {
      await database.db.transaction(async (tx) => {
        const refused = tx.query("INSERT INTO note VALUES ($1)", [param as never]);

        await expect(refused).rejects.toMatchObject({
          code: "internal",
          message: expect.stringMatching(
            /^A statement's parameter \$1 is of the type \w+; the statement was not sent\.$/,
          ),
        });
        await tx.query("INSERT INTO note VALUES ('after')");
      });

      expect(await notes()).toEqual(["after"]);
    },
  );

  it("does not take a swallowed failure for success", async () => {
    const committed = database.db.transaction(async (tx) => {
      await tx.query("INSERT INTO note VALUES ('a')");
      await tx.query("SELECT 1 / 0").catch(() => undefined);
    });

    await expect(committed).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/nothing was changed/),
    });
    expect(await notes()).toEqual([]);
  });

  it("runs nothing once it is over", async () => {
    const late = await database.db.transaction(
      async (tx) => () => tx.query("INSERT INTO note VALUES ('late')"),
    );

    await expect(late()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/was not run/),
    });
    expect(await notes()).toEqual([]);
  });

  it("tells what a deferred rule refused at COMMIT", async () => {
    await database.db.transaction((tx) =>
      tx.script(`
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'not today' USING ERRCODE = 'MC002'; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION refuse();`),
    );

    const refused = database.db.transaction((tx) => tx.query("INSERT INTO note VALUES ('a')"));

    await expect(refused).rejects.toMatchObject({ code: "conflict", message: "not today" });
  });

  it("is run again, up to three times, after a serialization failure", async () => {
    let attempts = 0;

    await database.db.transaction(async (tx) => {
      attempts += 1;
      await tx.query("INSERT INTO note VALUES ($1)", [`attempt ${attempts}`]);
      if (attempts < 4) await tx.script("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$");
    });

    expect(await notes()).toEqual(["attempt 4"]);
  });
});

describe.each(databases())("a script on $name", ({ create }) => {
  it("whose statements answer with rows comes to its end", async () => {
    const { db, dispose } = await create();

    await db.transaction((tx) => tx.script("SELECT 1; SELECT 2"));

    await dispose();
  });
});
