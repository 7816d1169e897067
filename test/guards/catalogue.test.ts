import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GUARD_CONSTRAINTS, GUARD_FUNCTIONS, GUARD_TRIGGERS } from "../../src/db/guards.ts";
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

  test("have every constraint, validated but where a migration left that out", async () => {
    const { constraints } = await readGuards(database.db);

    const ours = constraints.filter((one) =>
      GUARD_CONSTRAINTS.some(([table, name]) => table === one.table && name === one.name),
    );
    expect(ours).toHaveLength(GUARD_CONSTRAINTS.length);
    for (const [table, name, validated] of GUARD_CONSTRAINTS) {
      expect(ours).toContainEqual({ table, name, validated, enforced: true });
    }
  });

  test.each([
    [
      "one that was switched off",
      "ALTER TABLE machine_identity DISABLE TRIGGER midctl_10_change",
      /not always on/,
    ],
    [
      "one that was made ordinary",
      "ALTER TABLE machine_identity ENABLE TRIGGER midctl_10_change",
      /not always on/,
    ],
    ["one that was dropped", "DROP TRIGGER midctl_10_change ON agent_token", /missing/],
    [
      "one that was replaced by a function that lets everything pass",
      "CREATE OR REPLACE FUNCTION midctl_credential_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
      /not the one that was installed/,
    ],
    [
      "a rule of the log's, dropped",
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check",
      /midctl_log_leaf_check on midctl_log is missing/,
    ],
    [
      "a key, dropped",
      `ALTER TABLE midctl_event_seal DROP CONSTRAINT "midctl_event_seal_publicId_unique"`,
      /midctl_event_seal_publicId_unique on midctl_event_seal is missing/,
    ],
    [
      "a rule that was put back for new rows alone",
      `ALTER TABLE midctl_log_tile DROP CONSTRAINT midctl_log_tile_hashes_check;
       ALTER TABLE midctl_log_tile ADD CONSTRAINT midctl_log_tile_hashes_check CHECK (true) NOT VALID`,
      /midctl_log_tile_hashes_check on midctl_log_tile was put back for new rows alone/,
    ],
  ])("doctor finds %s", async (_how, sabotage, said) => {
    await database.db.transaction((tx) => tx.script(sabotage));

    const { findings } = await diagnose(database.db, () => Date.now());

    expect(
      findings
        .filter((finding) => finding.check === "guards")
        .map((finding) => finding.message)
        .join("\n"),
    ).toMatch(said);
  });
});
