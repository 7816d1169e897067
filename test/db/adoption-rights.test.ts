import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate, planMigration, readSchemaState } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { migrateUpTo } from "../support/migrations.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

describe.each(postgresDatabases())(
  "an application that belongs to another role, on $name",
  ({ createBare }) => {
    const suffix = randomBytes(4).toString("hex");
    const [host, other, heir, stranger] = ["host", "other", "heir", "stranger"].map(
      (who) => `t_${who}_${suffix}`,
    ) as [string, string, string, string];
    let database: TestDatabase;
    const connected: Database[] = [];

    function connect(role: string): Database {
      const url = new URL(database.url ?? "");
      url.username = role;
      const db = openPostgres({ url: url.href });
      connected.push(db);
      return db;
    }

    /** `heir` inherits from the application's owner, `stranger` is a member of it and does not. */
    beforeEach(async () => {
      database = await createBare();
      await database.db.transaction((tx) =>
        tx.script(`${KAN};
        CREATE ROLE ${host} LOGIN; CREATE ROLE ${other} LOGIN;
        CREATE ROLE ${heir} LOGIN INHERIT IN ROLE ${host}; CREATE ROLE ${stranger} LOGIN NOINHERIT IN ROLE ${host};
        GRANT ALL ON SCHEMA public TO ${host}, ${other}, ${stranger};
        ALTER TABLE agent_token OWNER TO ${host}; ALTER TABLE agent_audit_event OWNER TO ${host};
        ALTER TABLE workspace OWNER TO ${host}; ALTER TABLE "user" OWNER TO ${host};
        GRANT ALL ON ALL TABLES IN SCHEMA public TO ${other}`),
      );
    });
    afterEach(async () => {
      await Promise.all(connected.splice(0).map((db) => db.close()));
      const roles = [heir, stranger, other, host];
      await database.db.transaction((tx) =>
        tx.script(roles.map((role) => `DROP OWNED BY ${role} CASCADE`).join(";")),
      );
      const server = new URL(database.directUrl ?? "");
      server.pathname = "/postgres";
      await database.dispose();
      for (const role of roles) await runSql(server.href, `DROP ROLE ${role}`);
    });

    const refusal = () => ({
      code: "denied",
      message: expect.stringContaining(
        `agent_token belongs to ${host}; agent_audit_event belongs to ${host}`,
      ),
      hint: expect.stringContaining(`Run midctl db migrate as ${host}`),
    });

    test.each([
      ["whoever has all rights but does not own its tables", other],
      ["a member of its owner that does not inherit", stranger],
    ])("is refused to %s before anything is made, by the dry run too", async (_, role) => {
      const db = connect(role);

      await expect(planMigration(db)).rejects.toMatchObject(refusal());
      await expect(migrate(db)).rejects.toMatchObject(refusal());
      await expect(migrate(db)).rejects.toMatchObject({ message: expect.stringContaining(role) });
      expect(await readSchemaState(database.db)).toMatchObject({ state: "absent" });
      expect(await database.db.query("SELECT to_regclass('midctl_migration') AS history")).toEqual([
        { history: null },
      ]);
    });

    test.each([
      ["its owner", host],
      ["a member that inherits", heir],
    ])("is adopted by %s", async (_, role) => {
      await migrate(connect(role));

      expect(await readSchemaState(database.db)).toMatchObject({ state: "current" });
    });

    test("is refused where its workspaces give no trigger, or the schema nothing new", async () => {
      await database.db.transaction((tx) =>
        tx.script(`ALTER TABLE agent_token OWNER TO ${other}; ALTER TABLE agent_audit_event OWNER TO ${other};
        REVOKE TRIGGER ON workspace FROM ${other}; REVOKE CREATE ON SCHEMA public FROM ${other}, PUBLIC`),
      );

      await expect(planMigration(connect(other))).rejects.toMatchObject({
        code: "denied",
        message: expect.stringMatching(
          /the schema public belongs to .* and gives no CREATE; workspace belongs to .* and gives no TRIGGER/,
        ),
      });
    });

    describe("with half a schema that belongs to the wrong role", () => {
      beforeEach(async () => {
        // As an older midctl left it, which looked at no owner.
        await database.db.transaction((tx) =>
          tx.script(
            `ALTER TABLE agent_token OWNER TO ${other}; ALTER TABLE agent_audit_event OWNER TO ${other}`,
          ),
        );
        await migrateUpTo(connect(other), "0005_verifiers.sql");
        await database.db.transaction((tx) =>
          tx.script(
            `ALTER TABLE agent_token OWNER TO ${host}; ALTER TABLE agent_audit_event OWNER TO ${host}`,
          ),
        );
      });

      test("is refused to a superuser too, who is told to roll back first", async () => {
        await expect(migrate(database.db)).rejects.toMatchObject({
          code: "denied",
          hint: expect.stringMatching(
            new RegExp(
              `^Run midctl db rollback, as ${other} or a superuser.*Then midctl db migrate as ${host}`,
            ),
          ),
        });
      });

      test.each(["its owner", "a superuser"])("is rolled back by %s, and then adopted", async (who) => {
        const db = who === "its owner" ? connect(other) : database.db;

        await rollbackDatabase(db, await previewRollback(db), null);
        await migrate(connect(host));

        expect(await readSchemaState(database.db)).toMatchObject({ state: "current" });
      });
    });

    test("is given back by a superuser where the schema's owner may not touch it any more", async () => {
      await migrate(connect(host));
      await database.db.transaction((tx) =>
        tx.script(
          `ALTER TABLE agent_token OWNER TO ${other}; ALTER TABLE agent_audit_event OWNER TO ${other}`,
        ),
      );

      await rollbackDatabase(database.db, await previewRollback(database.db), null);

      expect(await readSchemaState(database.db)).toMatchObject({ state: "absent" });
    });
  },
);
