import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GUARD_FUNCTIONS, GUARD_TRIGGERS } from "../../src/db/guards.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { readGuards } from "../../src/repository/overview.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { renderGuards } from "./generate.mjs";

test("src/db/guards.ts says what the migrations make; if not: npm run generate:guards", async () => {
  const written = readFileSync(new URL("../../src/db/guards.ts", import.meta.url), "utf8");

  expect(written).toBe(await renderGuards());
});

describe.each(databases())("the guards on $name", (factory) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await factory.create();
  });
  afterAll(() => database.dispose());

  test("are all there, always on, and the ones that were installed", async () => {
    const { triggers, functions } = await readGuards(database.db);

    expect(triggers.filter((one) => !one.always)).toEqual([]);
    expect(triggers.map(({ table, trigger }) => `${table} ${trigger}`).sort()).toEqual(
      GUARD_TRIGGERS.map(({ table, trigger }) => `${table} ${trigger}`).sort(),
    );
    expect(functions).toEqual(GUARD_FUNCTIONS);
  });

  test.each([
    ["switched off", "ALTER TABLE machine_identity DISABLE TRIGGER midctl_10_change", /not always on/],
    ["made ordinary", "ALTER TABLE machine_identity ENABLE TRIGGER midctl_10_change", /not always on/],
    ["dropped", "DROP TRIGGER midctl_10_change ON agent_token", /missing/],
    [
      "replaced by a function that lets everything pass",
      "CREATE OR REPLACE FUNCTION midctl_credential_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
      /not the one that was installed/,
    ],
  ])("doctor finds one that was %s", async (_how, sabotage, said) => {
    await database.db.query(sabotage);

    const { findings } = await diagnose(database.db, () => Date.now());

    expect(
      findings
        .filter((finding) => finding.check === "guards")
        .map((finding) => finding.message)
        .join("\n"),
    ).toMatch(said);
  });
});
