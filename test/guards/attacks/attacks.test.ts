import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { databases, type TestDatabase } from "../../support/databases.ts";
import { attempt, installClock, readEverything, rehearse, WORLD } from "../scene.ts";
import { ATTACKS } from "./all.ts";

describe.each(databases())("guards on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction(async (tx) => {
      await installClock(tx);
      await tx.script(WORLD);
    });
  });
  afterAll(() => database?.dispose());

  describe.each(Object.entries(ATTACKS))("%s", (_, attacks) => {
    test.each(attacks)("refuse $refuses, and allow $allows", async ({ given, attack, code, twin }) => {
      await rehearse(database.db, async (tx) => {
        await tx.script(
          `${given ?? "SELECT 1"}; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED`,
        );
        const before = await readEverything(tx);

        expect(await attempt(tx, attack)).toMatchObject({ code });

        expect(await readEverything(tx)).toEqual(before);
        expect(await attempt(tx, twin)).toBeNull();
      });
    });
  });
});
