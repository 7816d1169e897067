import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { viewDbMigrate } from "../../src/cli/views/db-migrate.ts";
import type { Database } from "../../src/db/database.ts";
import { migrate, planMigration } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { readCatalogue } from "../support/catalogue.ts";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { migrateUpTo } from "../support/migrations.ts";
import { issueActive } from "../verifier/scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const PSQL = "/usr/bin/psql";

const opened: TestDatabase[] = [];
const connected: Database[] = [];
afterEach(async () => {
  await Promise.all(connected.splice(0).map((db) => db.close()));
  await Promise.all(opened.splice(0).map((database) => database.dispose()));
});

/** What `db migrate --dry-run` prints. */
async function printScript(db: Database): Promise<string> {
  const place = { kind: "server", location: "here", source: "flag" } as const;
  const [text] = viewDbMigrate({ place, ...(await planMigration(db)) });
  return text?.kind === "text" ? text.text : "";
}

describe.each(postgresDatabases())("what db migrate --dry-run prints, on $name", ({ createBare }) => {
  async function open(text: string): Promise<TestDatabase> {
    const database = await createBare();
    opened.push(database);
    await database.db.transaction((tx) => tx.script(text));
    return database;
  }

  describe.skipIf(!existsSync(PSQL))("run by psql", () => {
    const psql = (database: TestDatabase, script: string) =>
      execFileSync(PSQL, ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.directUrl ?? "", "-f", "-"], {
        input: script,
        encoding: "utf8",
      });

    test.each([
      ["an application's database", KAN, null],
      ["one in which a run was interrupted before it", KAN, "0005_verifiers.sql"],
      ["one in which a run was interrupted within it", KAN, "0006_host.sql"],
      ["an empty database", "SELECT 1", null],
    ])("makes of %s what db migrate makes, which then finds nothing to do", async (_, host, begun) => {
      const [byHand, byProgram] = [await open(host), await open(host)];
      await migrate(byProgram.db);
      if (begun !== null) await migrateUpTo(byHand.db, begun);

      psql(byHand, await printScript(byHand.db));

      expect(await readCatalogue(byHand.db)).toEqual(await readCatalogue(byProgram.db));
      expect((await migrate(byHand.db)).applied).toEqual([]);
      const singles =
        "SELECT (SELECT count(*) FROM midctl_environment) AS one, (SELECT size FROM midctl_log_head)";
      expect(await byHand.db.query(singles)).toEqual(await byProgram.db.query(singles));
    });
  });

  test("says that it is to be read alone where the application has identities of its own", async () => {
    const { db } = await open(`${KAN};
      CREATE TABLE machine_identity (id bigserial PRIMARY KEY, "publicId" varchar(12) NOT NULL, "workspaceId" bigint,
        slug varchar(255) NOT NULL, status varchar(16) NOT NULL, "revokedAt" timestamp)`);

    expect((await planMigration(db)).byHand).toBe(false);
    expect(await printScript(db)).toMatch(/^-- To be read, not to be run/);
  });

  test.each(["Kan", "App Schema"])("a schema named %s: is migrated, used and given back", async (schema) => {
    const database = await open(`CREATE SCHEMA "${schema}"`);
    const url = database.directUrl ?? "";
    const [{ name } = { name: "" }] = await runSql<{ name: string }>(
      url,
      "SELECT current_database() AS name",
    );
    await runSql(url, `ALTER DATABASE ${name} SET search_path = "${schema}"`);
    const db = openPostgres({ url });
    connected.push(db);
    await db.transaction((tx) => tx.script(KAN));
    const before = await readCatalogue(db);

    await migrate(db);
    expect(await printScript(db)).toBe("");
    await rollbackDatabase(db, await previewRollback(db), null);

    expect(await readCatalogue(db)).toEqual(before);
    // Without workspaces, which an identity would need one of.
    await db.transaction((tx) => tx.script('DROP TABLE agent_audit_event, agent_token, workspace, "user"'));
    await migrate(db);
    await issueActive(db, "quoted");
  });
});
