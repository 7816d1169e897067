import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { listMigrations } from "../../src/db/migrations.ts";
import type { RemovedRow } from "../../src/db/rollback.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { readCatalogue as readCatalogueOf } from "../support/catalogue.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { migrateUpTo } from "../support/migrations.ts";
import { issueActive } from "../verifier/scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const PG_DUMP = "/usr/lib/postgresql/15/bin/pg_dump";

let database: TestDatabase;
let db: Database;
afterEach(() => database.dispose());

const readCatalogue = () => readCatalogueOf(db);
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

    test.each(listMigrations())("that stopped behind %s does so too", async (last) => {
      const before = [await readCatalogue(), await readRows()];
      await migrateUpTo(db, last);

      await rollBack();

      expect([await readCatalogue(), await readRows()]).toEqual(before);
    });

    test("takes an index along that an interrupted build left invalid, before it was marked", async () => {
      const before = await readCatalogue();
      await migrateUpTo(db, "0006_host.sql");
      await db.query("CREATE INDEX agent_audit_event_at_idx ON agent_audit_event (id)");
      await db.query(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agent_audit_event_at_idx'::regclass",
      );

      await rollBack();

      expect(await readCatalogue()).toEqual(before);
    });

    test("is refused for a schema that this program does not know", async () => {
      await migrate(db);
      await db.query(
        "INSERT INTO midctl_migration (name, position, hash) VALUES ('0999_later.sql', 999, 'x')",
      );

      await expect(previewRollback(db)).rejects.toMatchObject({ code: "schema_version" });
    });

    test("does all of it on a dry run, and takes it back", async () => {
      await migrate(db);
      const before = [await readCatalogue(), await readRows()];

      await rollbackDatabase(db, await previewRollback(db), null, { dryRun: true });

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

    test.each([
      ["a function of ours", "SELECT midctl_instant(now()::timestamp) AS at"],
      ["a column of ours", 'SELECT "machineIdentityId" FROM agent_token'],
      ["a table of ours", "SELECT slug FROM machine_identity"],
    ])("is refused where the host built upon %s, and names what", async (_, select) => {
      await migrate(db);
      await db.query(`CREATE VIEW host_view AS ${select}`);
      const before = await readCatalogue();
      const refusal = {
        code: "conflict",
        message: expect.stringContaining("view host_view depends on"),
        details: { dependents: [expect.stringContaining("view host_view")] },
      };

      const preview = await previewRollback(db);

      await expect(rollbackDatabase(db, preview, null, { dryRun: true })).rejects.toMatchObject(refusal);
      await expect(rollbackDatabase(db, preview, null)).rejects.toMatchObject(refusal);
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
    test.each(["0005_verifiers.sql", "0006_host.sql", "0009_moved.sql"])(
      "is the same after a rollback as before the adoption, up to %s",
      async (last) => {
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
        await migrateUpTo(db, last);
        expect(dump()).not.toBe(before);

        await rollBack();

        expect(dump()).toBe(before);
      },
    );
  },
);
