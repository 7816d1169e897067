import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { readHead } from "../../src/operations/audit-checkpoint.ts";
import { type Verified, verifyLog } from "../../src/operations/audit-verify.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { unlock } from "../campaign/tamper/tamperings.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

describe.each(databases())("what holds the log's entries, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeEach(async () => {
    database = await create();
    db = database.db;
    await db.query(
      `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
       SELECT lpad(n::text, 12, '0'), 'svc-' || n, 'service', 'svc', 'team' FROM generate_series(1, 5) n`,
    );
  });
  afterEach(() => database.dispose());

  const verify = (): Promise<Verified> =>
    verifyLog(db, { checkpoints: [], verified: 0, onProgress: () => {} });
  /** As an owner of the database can, triggers off. */
  const tamper = (...statements: string[]): Promise<void> =>
    db.transaction(async (tx) => {
      await unlock(tx);
      await tx.query("ALTER TABLE midctl_environment DISABLE TRIGGER USER");
      for (const statement of statements) await tx.query(statement);
    });
  async function ofDoctor(): Promise<string[]> {
    const { findings } = await diagnose(db, Date.now);
    return findings
      .filter(({ check }) => check === "log")
      .map(({ severity, message }) => `${severity}: ${message}`);
  }

  test("is as it was made, where nobody touched it", async () => {
    expect((await verify()).findings).toEqual([]);
    expect(await ofDoctor()).toEqual([]);
  });

  test.each(["at", "action", "actor", "identity", "credential"])(
    "is found where the column %s says something of its own",
    async (column) => {
      await tamper(`ALTER TABLE midctl_log ALTER COLUMN "${column}" DROP EXPRESSION`);

      expect((await verify()).findings).toMatchObject([
        { kind: "altered", from: null, says: expect.stringContaining(`(${column})`) },
      ]);
      expect(await ofDoctor()).toEqual([expect.stringMatching(`^error: .*\\(${column}\\)`)]);
    },
  );

  test("is found where a column is made of something else", async () => {
    await tamper(
      "ALTER TABLE midctl_log DROP COLUMN action CASCADE",
      `ALTER TABLE midctl_log ADD COLUMN action text GENERATED ALWAYS AS (replace(entry::jsonb ->> 'action', 'revoke', 'update')) STORED`,
    );

    expect((await verify()).findings).toMatchObject([{ says: expect.stringContaining("(action)") }]);
  });

  test.each([" action", "(action)", "action "])(
    "is found where a column is made of something that looks alike: %s",
    async (name) => {
      await tamper(
        "ALTER TABLE midctl_log DROP COLUMN action CASCADE",
        `ALTER TABLE midctl_log ADD COLUMN action text GENERATED ALWAYS AS (entry::jsonb ->> '${name}') STORED`,
      );

      expect((await verify()).findings).toMatchObject([{ says: expect.stringContaining("(action)") }]);
    },
  );

  test("is found where an operator of somebody's own stands in the place of PostgreSQL's", async () => {
    await db.query(
      "CREATE FUNCTION lie(jsonb, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'identity.update' $$",
    );
    await db.query("CREATE OPERATOR public.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = lie)");
    await tamper(
      "ALTER TABLE midctl_log DROP COLUMN action CASCADE",
      "ALTER TABLE midctl_log ADD COLUMN action text GENERATED ALWAYS AS (entry::jsonb OPERATOR(public.->>) 'action') STORED",
      "SET LOCAL search_path = public, pg_catalog",
    );

    const found = await db.transaction(async (tx) => {
      await tx.query("SET LOCAL search_path = public, pg_catalog");
      return verifyLog(tx, { checkpoints: [], verified: 0, onProgress: () => {} });
    });

    expect(found.findings).toMatchObject([
      { says: expect.stringContaining("before pg_catalog") },
      { says: expect.stringContaining("(action") },
    ]);
  });

  test("is found where the environment is not what the log says, and not where the log says so", async () => {
    await tamper("UPDATE midctl_environment SET protected = true, live = true");

    expect((await verify()).findings).toMatchObject([
      {
        kind: "altered",
        says: expect.stringContaining("live is true, and was false; protected is true, and was false"),
      },
    ]);
    expect(await ofDoctor()).toEqual([expect.stringContaining("not what the log says")]);
  });

  test("is found where an entry has no index", async () => {
    await tamper(
      "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_pkey CASCADE",
      'ALTER TABLE midctl_log ALTER COLUMN "index" DROP NOT NULL',
      `INSERT INTO midctl_log ("index", entry, "leafHash") SELECT NULL, entry, "leafHash" FROM midctl_log WHERE "index" = 3`,
    );

    expect((await verify()).findings).toMatchObject([{ says: "1 entry has no index" }]);
  });

  test("is found where the head has nothing in the place of a hash", async () => {
    await tamper("UPDATE midctl_log_head SET edge = ARRAY[NULL]::bytea[]");

    expect((await verify()).findings).toContainEqual(expect.objectContaining({ kind: "tree", from: null }));
  });

  test("is found where the database calls itself another one than its first entry does", async () => {
    await tamper(`UPDATE midctl_environment SET "databaseId" = gen_random_uuid()`);

    expect((await verify()).findings).toMatchObject([
      { kind: "altered", says: expect.stringContaining("by its first entry") },
    ]);
    expect(await ofDoctor()).toEqual([expect.stringContaining("by its first entry")]);
  });

  test.each(["midctl_log_head", "midctl_environment"])(
    "is no sound log where %s has lost its row: nothing is said of it, and nothing signed",
    async (table) => {
      await tamper(`DELETE FROM ${table}`);

      await expect(verify()).rejects.toMatchObject({ code: "conflict" });
      await expect(readHead(db, null)).rejects.toMatchObject({ code: "conflict" });
    },
  );

  test("is found where the head has a hash that no entry made, and no checkpoint is signed of it", async () => {
    await tamper("UPDATE midctl_log_head SET edge[1] = edge[1] || sha256('another')");

    expect((await verify()).findings).toMatchObject([{ kind: "tree", from: null }]);
    await expect(readHead(db, null)).rejects.toMatchObject({ code: "conflict" });
  });

  test.each([
    [0, 1],
    [1, 0],
    [30, 0],
  ])("is found where the tree has a tile behind the last entry: level %i, position %i", async (level, at) => {
    await tamper(`INSERT INTO midctl_log_tile VALUES (${level}, ${at}, decode(repeat('00', 128), 'hex'))`);

    expect((await verify()).findings).toMatchObject([
      { kind: "tree", says: expect.stringContaining("behind the last one") },
    ]);
  });

  test("is an error of doctor's where row-level security hides some of it from others", async () => {
    await db.query("ALTER TABLE midctl_log ENABLE ROW LEVEL SECURITY");

    expect(await ofDoctor()).toEqual([
      expect.stringMatching(/^error: Row-level security is on for midctl_log:/),
    ]);
  });

  test("takes no entry that is longer than 1 MiB", async () => {
    const long = db.transaction(async (tx) => {
      await tx.query(
        "SELECT set_config('midctl.context', json_build_object('reason', repeat('x', 1048576))::text, true)",
      );
      await tx.query("UPDATE machine_identity SET owner = 'another' WHERE slug = 'svc-1'");
    });

    await expect(long).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("1 MiB") });
  });
});
