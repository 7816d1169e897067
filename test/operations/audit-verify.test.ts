import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { verifyLog } from "../../src/operations/audit-verify.ts";
import { createRandom } from "../campaign/random.ts";
import { eachTampering, unlock } from "../campaign/tamper/tamperings.ts";
import { faultOf, type Prepared, prepare, tryTampering } from "../campaign/tamper/trial.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";

/** How long the log is, and which draws are made of each way: a hundred in all. `npm run campaign:tamper` plays a thousand. */
const SHORT = { size: 150, heads: [60, 120], rounds: [0, 1, 2, 3, 4] } as const;
/**
 * Three pages and more: what is whole is hashed at once, and looked at one by one only where something is wrong. The draw is one that
 * rewrites the first page; the last head lies within the third one.
 */
const LONG = { size: 12_400, heads: [2_000, 12_200], rounds: [6] } as const;
const logs = [
  ...databases().map((factory) => ({ ...factory, ...SHORT })),
  ...postgresDatabases()
    .slice(0, 1)
    .map((factory) => ({ ...factory, ...LONG })),
];

describe.each(logs)("verifying a log of $size on $name", ({ size, heads, rounds, ...factory }) => {
  let database: TestDatabase;
  let scene: Prepared;
  beforeAll(async () => {
    database = await factory.create();
    scene = await prepare(database.db, size, heads);
  });
  afterAll(() => database.dispose());

  const verify = (verified = 0, checkpoints = scene.checkpoints) =>
    verifyLog(database.db, { checkpoints, verified, onProgress: () => {} });

  /** What is said after these statements of an owner's, triggers off, of which nothing stays. */
  const verifyAfter = async (
    first: string | { readonly verified: number },
    ...others: string[]
  ): Promise<unknown> => {
    const { verified } = typeof first === "string" ? { verified: 0 } : first;
    const statements = typeof first === "string" ? [first, ...others] : others;
    const undone = new Error("undone");
    let found: unknown = null;
    await database.db
      .transaction(async (tx) => {
        await unlock(tx);
        for (const statement of statements) await tx.query(statement);
        found = await verifyLog(tx, { checkpoints: scene.checkpoints, verified, onProgress: () => {} });
        throw undone;
      })
      .catch((error: unknown) => expect(error).toBe(undone));
    return found;
  };

  test("finds nothing in a log that nobody touched, and is anchored by the last checkpoint", async () => {
    expect(await verify()).toMatchObject({
      size,
      from: 0,
      checkpoints: 2,
      anchored: scene.seen,
      findings: [],
      found: 0,
    });
  });

  test("reads only what follows the last checkpoint, where that is asked for", async () => {
    expect(await verify(Number.POSITIVE_INFINITY)).toMatchObject({
      from: scene.seen,
      anchored: scene.seen,
      findings: [],
    });
  });

  test("calls an entry altered that changed places with one that is not read", async () => {
    const found = await verifyAfter(
      { verified: Number.POSITIVE_INFINITY },
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_pkey CASCADE",
      `UPDATE midctl_log SET "index" = 10 + ${scene.seen + 1} - "index" WHERE "index" IN (10, ${scene.seen + 1})`,
    );

    const place = { from: scene.seen + 1, to: scene.seen + 1 };
    expect(found).toMatchObject({ found: 1, findings: [{ kind: "altered", ...place }] });
  });

  test("comes to the same root from wherever it begins", async () => {
    expect((await verify(Number.POSITIVE_INFINITY)).root.toString("hex")).toBe(
      (await verify()).root.toString("hex"),
    );
  });

  test("tells which heads agree, and the largest that does not", async () => {
    const [first, last] = scene.checkpoints;
    const forging = (...places: readonly number[]) =>
      scene.checkpoints.map((each, at) =>
        places.includes(at) ? { ...each, root: Buffer.alloc(32, 8 + at) } : each,
      );

    expect(await verify()).toMatchObject({ disputed: null, agreed: [first?.root, last?.root] });
    expect(await verify(0, forging(1))).toMatchObject({
      disputed: Buffer.alloc(32, 9),
      agreed: [first?.root],
    });
    expect(await verify(0, forging(0, 1))).toMatchObject({ disputed: Buffer.alloc(32, 9), agreed: [] });
  });

  test("says of which other log a checkpoint is", async () => {
    const [mine] = scene.checkpoints;
    const other = mine === undefined ? [] : [{ ...mine, origin: "midctl/another" }];

    expect(await verify(0, other)).toMatchObject({
      checkpoints: 0,
      findings: [{ kind: "foreign", says: expect.stringContaining("midctl/another") }],
    });
  });

  test("finds an entry that lies at the index of the one before it, where the key is gone", async () => {
    const found = await verifyAfter(
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_pkey CASCADE",
      'UPDATE midctl_log SET "index" = 100 WHERE "index" = 101',
    );

    expect(found).toMatchObject({
      findings: expect.arrayContaining([expect.objectContaining({ from: 100 })]),
    });
  });

  test("does not look one by one for what a head says that there is, and nothing of it is stored", async () => {
    const found = await verifyAfter("UPDATE midctl_log_head SET size = 9223372036854775807");

    expect(found).toMatchObject({
      findings: expect.arrayContaining([
        expect.objectContaining({ kind: "truncated", to: Number.MAX_SAFE_INTEGER - 1 }),
      ]),
    });
  });

  test("says which other log the search path has behind the one that is read", async () => {
    const found = await verifyAfter(
      "CREATE SCHEMA shadow",
      "CREATE TABLE shadow.midctl_log (entry text)",
      "SELECT set_config('search_path', current_setting('search_path') || ', shadow', true)",
    );

    expect(found).toMatchObject({
      found: 1,
      findings: [{ kind: "altered", from: null, says: expect.stringContaining("in shadow") }],
    });
  });

  test("says that names of PostgreSQL's own are looked for elsewhere first", async () => {
    const found = await verifyAfter(
      "SELECT set_config('search_path', current_setting('search_path') || ', pg_catalog', true)",
    );

    expect(found).toMatchObject({
      found: 1,
      findings: [{ kind: "altered", from: null, says: expect.stringContaining("before pg_catalog") }],
    });
  });

  test.each(["midctl_log_head", "midctl_environment"])(
    "reads nothing where %s has several rows",
    async (table) => {
      const verified = verifyAfter(
        `ALTER TABLE ${table} DISABLE TRIGGER ALL`,
        `DO $$ DECLARE r record; BEGIN FOR r IN SELECT conname FROM pg_constraint WHERE conrelid = '${table}'::regclass AND contype IN ('p', 'u', 'c') LOOP EXECUTE format('ALTER TABLE ${table} DROP CONSTRAINT %I CASCADE', r.conname); END LOOP; END $$`,
        `INSERT INTO ${table} SELECT * FROM ${table}`,
      );

      await expect(verified).rejects.toThrow(/several/);
    },
  );

  test("is read in parts where entries are large, and no part is overlooked", async () => {
    const found = await verifyAfter(
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_entry_size_check",
      `UPDATE midctl_log SET entry = entry || repeat(' ', 9000000) WHERE "index" BETWEEN 20 AND 24`,
    );

    expect(found).toMatchObject({ found: 1, findings: [{ kind: "altered", from: 20, to: 24 }] });
  });

  test.each(rounds)("names whatever an owner does with the triggers off, round %i", async (round) => {
    const faults: string[] = [];
    for (const tampering of eachTampering(createRandom(7, round), scene)) {
      const fault = faultOf(tampering, await tryTampering(database.db, scene, tampering));
      if (fault !== null) faults.push(fault);
    }

    expect(faults).toEqual([]);
  });
});
