import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate, planMigration } from "../../src/db/migrate.ts";
import { readMigrations } from "../../src/db/migrations.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { splitStatements } from "../../src/db/statements.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { databases, postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { holdTable } from "../support/holder.ts";
import { migrationsUpTo } from "../support/migrations.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

let database: TestDatabase;
let db: Database;
afterEach(() => database.dispose());

async function openHost(create: () => Promise<TestDatabase>): Promise<void> {
  database = await create();
  ({ db } = database);
  await db.transaction((tx) => tx.script(KAN));
}

/** Every row of the host's tables, as text, but for the one column that we add. */
function readHostRows(): Promise<{ row: string }[]> {
  return db.query(
    `SELECT (to_jsonb(t) - 'machineIdentityId')::text AS "row" FROM agent_token t
     UNION ALL SELECT (to_jsonb(e) - 'machineIdentityId')::text FROM agent_audit_event e
     UNION ALL SELECT to_jsonb(w)::text FROM workspace w UNION ALL SELECT to_jsonb(u)::text FROM "user" u
     ORDER BY 1`,
  );
}

describe.each(databases())("a host's database on $name", ({ createBare }) => {
  beforeEach(() => openHost(createBare));

  test("keeps every row as it was", async () => {
    const before = await readHostRows();

    await migrate(db);

    expect(await readHostRows()).toEqual(before);
  });

  test("keeps its own migration history", async () => {
    await db.query("CREATE TABLE __drizzle_migrations (id int, hash text)");
    await db.query("INSERT INTO __drizzle_migrations VALUES (1, 'abc')");

    await migrate(db);

    expect(await db.query("SELECT * FROM __drizzle_migrations")).toEqual([{ id: 1, hash: "abc" }]);
  });

  test("has its tokens accepted as before, and says that they are legacy ones", async () => {
    await db.query(
      `UPDATE agent_token SET "tokenHash" = encode(sha256('kanagent_open'), 'hex') WHERE "publicId" = 'legacyopen01'`,
    );

    await migrate(db);

    expect(await createAuthenticator({ db, cache: false }).authenticate("kanagent_open")).toMatchObject({
      ok: true,
      actor: { kind: "legacy_token", slug: "at_legacyopen01" },
      scopes: ["cards:read"],
    });
  });

  test("goes on while its indexes are still to be built: what it changes is logged", async () => {
    await migrate(db, { directory: migrationsUpTo("0006_host.sql") });

    await db.query(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'legacyopen01'`);

    expect(await db.query(`SELECT action FROM midctl_log ORDER BY "index"`)).toEqual([
      { action: "environment.create" },
      { action: "token.revoke" },
    ]);
  });

  test("is told what would be done, and is not touched by that", async () => {
    const before = await db.query("SELECT count(*) FROM pg_class");

    const plan = await planMigration(db);

    expect(plan.applied).toEqual(readMigrations().map(({ name }) => name));
    expect(plan.statements).toContainEqual(
      expect.objectContaining({
        migration: "0006_host.sql",
        sql: expect.stringContaining("LOCK TABLE agent_token"),
        locks: [
          { table: "agent_token", mode: "ACCESS EXCLUSIVE" },
          { table: "agent_audit_event", mode: "ACCESS EXCLUSIVE" },
        ],
      }),
    );
    expect(await db.query("SELECT count(*) FROM pg_class")).toEqual(before);
  });

  test.each([
    ['ALTER TABLE agent_token DROP COLUMN "lastUsedAt"', 'agent_token has no column "lastUsedAt"'],
    [
      `ALTER TABLE agent_token ALTER "expiresAt" TYPE timestamptz`,
      'agent_token."expiresAt" is timestamp with time zone',
    ],
    [
      `ALTER TABLE agent_audit_event RENAME TO e; CREATE VIEW agent_audit_event AS SELECT * FROM e`,
      "agent_audit_event is no plain table",
    ],
    ["CREATE TABLE machine_identity (id int)", 'machine_identity has no column "publicId"'],
  ])("of another shape is refused, and the difference named: %s", async (change, difference) => {
    await db.transaction((tx) => tx.script(change));

    await expect(migrate(db)).rejects.toMatchObject({
      code: "schema_version",
      message: expect.stringContaining(difference),
    });
    await expect(planMigration(db)).rejects.toMatchObject({ code: "schema_version" });
    expect(await db.query("SELECT to_regclass('midctl_migration') AS history")).toEqual([{ history: null }]);
  });
});

describe.each(postgresDatabases())("a host that works on meanwhile, on $name", ({ createBare }) => {
  beforeEach(() => openHost(createBare));

  const open = () => openPostgres({ url: database.url ?? "" }, { max: 1 });

  test("is never queued behind a lock that we cannot have, and keeps everything if it does not yield", async () => {
    const holder = open();
    const reader = open();
    const letGo = await holdTable(holder, "agent_token");

    onTestFinished(async () => {
      await Promise.allSettled([letGo(), holder.close(), reader.close()]);
    });

    const migrating = migrate(db, { patience: 400 }).then(
      () => null,
      (error: unknown) => error,
    );
    await reader.query("SET statement_timeout = '1s'");
    let reads = 0;
    let outcome: unknown;
    void migrating.then((error) => {
      outcome = error;
    });
    for (; outcome === undefined; reads++) await reader.query("SELECT count(*) FROM agent_token");

    expect(outcome).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("in use all the time"),
    });
    expect(reads).toBeGreaterThan(1);
    expect(
      await db.query(
        "SELECT FROM information_schema.columns WHERE column_name = 'machineIdentityId' AND table_name LIKE 'agent%'",
      ),
    ).toEqual([]);
    await letGo();
    expect((await migrate(db)).applied.slice(0, 2)).toEqual(["0006_host.sql", "0007_host_concurrently.sql"]);
  });

  test("has an index that an interrupted build left invalid built anew", async () => {
    const directory = migrationsUpTo("0007_host_concurrently.sql");
    await migrate(db, { directory });
    await db.query("DELETE FROM midctl_migration WHERE name = '0007_host_concurrently.sql'");
    await db.query(
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agent_audit_event_at_idx'::regclass",
    );

    await migrate(db, { directory });

    expect(
      await db.query(
        "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'agent_audit_event_at_idx'::regclass",
      ),
    ).toEqual([{ valid: true }]);
  });

  test("sees no other lock than the plan says", async () => {
    for (const { manner, text } of readMigrations()) {
      for (const { sql, locks } of splitStatements(text)) {
        if (manner === "concurrently") {
          expect(locks).toEqual([
            {
              table: expect.stringMatching(/^(?:agent_|machine_identity|midctl_log)/),
              mode: "SHARE UPDATE EXCLUSIVE",
            },
          ]);
          continue;
        }
        const taken = await db.transaction(async (tx) => {
          await tx.script(sql);
          return tx.query<{ table: string; mode: string }>(
            `SELECT relation::regclass::text AS "table", mode FROM pg_locks
              WHERE pid = pg_backend_pid() AND relation IN ('agent_token'::regclass, 'agent_audit_event'::regclass, 'workspace'::regclass)
                AND mode NOT IN ('AccessShareLock', 'RowShareLock')`,
          );
        });
        const said = locks.filter(({ table }) => /^(agent_token|agent_audit_event|workspace)$/.test(table));
        const spelt = ({ table, mode }: { table: string; mode: string }) =>
          `${table} ${mode.replaceAll(" ", "").replace(/Lock$/, "").toUpperCase()}`;
        // A statement may take a weaker lock besides: the strongest is what others wait for.
        const strongest = taken.filter(
          ({ table, mode }) =>
            mode === "AccessExclusiveLock" ||
            !taken.some((other) => other.table === table && other.mode === "AccessExclusiveLock"),
        );
        expect(strongest.map(spelt).sort(), sql).toEqual(said.map(spelt).sort());
      }
    }
    expect(await runSql(database.url ?? "", "SELECT to_regclass('midctl_log') IS NOT NULL AS made")).toEqual([
      { made: true },
    ]);
  });
});
