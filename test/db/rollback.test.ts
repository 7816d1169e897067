import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import type { RemovedRow } from "../../src/db/rollback.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { issueActive } from "../verifier/scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const PG_DUMP = "/usr/lib/postgresql/15/bin/pg_dump";

let database: TestDatabase;
let db: Database;
afterEach(() => database.dispose());

/** Everything that a schema is made of, as text. */
function readCatalogue(): Promise<unknown[]> {
  return db.query(
    `SELECT 'relation' AS what, concat_ws(' ', c.relname, c.relkind, c.relrowsecurity) AS it FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
     UNION ALL SELECT 'column', concat_ws(' ', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
     UNION ALL SELECT 'index', pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
     UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     UNION ALL SELECT 'comment', description FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
     ORDER BY 1, 2`,
  );
}

const readRows = () =>
  db.query(
    `SELECT to_jsonb(t)::text AS "row" FROM agent_token t UNION ALL SELECT to_jsonb(e)::text FROM agent_audit_event e ORDER BY 1`,
  );

async function rollBack(): Promise<RemovedRow[]> {
  const kept: RemovedRow[] = [];
  const keeper = { write: (row: RemovedRow) => void kept.push(row), done: () => undefined };
  await rollbackDatabase(db, await previewRollback(db), keeper);
  return kept;
}

describe.each(databases())("a rollback on $name", ({ create, createBare }) => {
  describe("of an adoption", () => {
    beforeEach(async () => {
      database = await createBare();
      ({ db } = database);
      await db.transaction((tx) => tx.script(KAN));
    });

    test("leaves the host's schema and rows exactly as they were", async () => {
      const before = [await readCatalogue(), await readRows()];
      await migrate(db);

      await rollBack();

      expect([await readCatalogue(), await readRows()]).toEqual(before);
    });

    test("keeps every log entry first, and is not stopped by them", async () => {
      await migrate(db);
      await db.query(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'legacyopen01'`);
      const log = await db.query<{ entry: string }>(`SELECT entry FROM midctl_log ORDER BY "index"`);

      const kept = await rollBack();

      const entries = kept.filter(({ table }) => table === "midctl_log").map(({ row }) => row.entry);
      expect(entries).toEqual(log.map(({ entry }) => entry));
      expect(entries.length).toBeGreaterThan(1);
    });

    test("is refused while an identity, or a token or event of one, is there; with counts", async () => {
      await migrate(db);
      await db.transaction(async (tx) => {
        await tx.query(
          `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "workspaceId") VALUES ('Adopted00001', 'open', 'open', 'service', 'ada', 1)`,
        );
        await tx.query(
          `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", status, "tokenHash", scopes, adopted)
           VALUES ('legacyopen01', 1, 'active', repeat('1a', 32), '["cards:read"]', true)`,
        );
        await tx.query(`UPDATE agent_token SET "machineIdentityId" = 1 WHERE "publicId" = 'legacyopen01'`);
      });
      await db.query(
        `INSERT INTO agent_audit_event ("publicId", "workspaceId", "agentTokenId", action) VALUES ('after0000001', 1, 1, 'x')`,
      );
      const before = await readCatalogue();

      await expect(previewRollback(db)).rejects.toMatchObject({
        code: "conflict",
        details: { identities: 1, tokens: 1, events: 1 },
      });
      expect(await readCatalogue()).toEqual(before);
    });

    test("is refused where the host built upon it, and drops nothing of the host's", async () => {
      await migrate(db);
      await db.query("CREATE VIEW host_view AS SELECT midctl_instant(now()::timestamp) AS at");
      const before = await readCatalogue();

      await expect(rollBack()).rejects.toMatchObject({ details: { sqlState: "2BP01" } });
      expect(await readCatalogue()).toEqual(before);
    });

    test("is refused where the log has grown since it was kept", async () => {
      await migrate(db);
      const preview = await previewRollback(db);
      await db.query(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'legacyopen01'`);

      await expect(rollbackDatabase(db, preview, null)).rejects.toMatchObject({
        message: expect.stringContaining("The log has grown meanwhile"),
      });
      expect(await previewRollback(db)).toMatchObject({ present: true });
    });

    test("can be followed by an adoption like the first", async () => {
      await migrate(db);
      const first = await readCatalogue();
      await rollBack();

      await migrate(db);

      expect(await readCatalogue()).toEqual(first);
    });
  });

  test("of a database of our own leaves nothing", async () => {
    database = await create();
    ({ db } = database);

    await rollBack();

    expect(await readCatalogue()).toEqual([]);
    expect(await previewRollback(db)).toMatchObject({ present: false });
  });

  test("of a database of our own is refused once anything was issued", async () => {
    database = await create();
    ({ db } = database);
    await issueActive(db, "in-use");

    await expect(previewRollback(db)).rejects.toMatchObject({ details: { identities: 1, tokens: 1 } });
  });
});

describe.each(postgresDatabases().filter(({ name }) => name === "PostgreSQL 15" && existsSync(PG_DUMP)))(
  "the dump of a host's schema on $name",
  ({ createBare }) => {
    test("is the same after a rollback as before the adoption", async () => {
      database = await createBare();
      ({ db } = database);
      await db.transaction((tx) => tx.script(KAN));
      // Each dump has a random key of its own.
      const dump = () =>
        execFileSync(PG_DUMP, ["-d", database.url ?? ""], { encoding: "utf8" }).replace(
          /^\\(un)?restrict .*$/gm,
          "",
        );
      const before = dump();
      await migrate(db);
      expect(dump()).not.toBe(before);

      await rollBack();

      expect(dump()).toBe(before);
    });
  },
);
