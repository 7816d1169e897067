import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate, planMigration } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { proposeAdoption } from "../../src/operations/adoption-propose.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import type { Request } from "../../src/operations/change.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { adoptToken } from "../../src/operations/identity-adopt.ts";
import { listTokens } from "../../src/operations/list.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { holdTable } from "../support/holder.ts";
import { EVERYTHING } from "../support/lists.ts";
import { readShape, type Shape } from "../support/shape.ts";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const KAN = read("../guards/kan.sql");
const MINIMAL = read("kan/minimal.sql");
const FULLER = read("kan/fuller.sql");
const ROWS = read("kan/rows.sql");
const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "adoption" };

let database: TestDatabase;
let db: Database;
afterEach(() => database.dispose());

async function openHost(create: () => Promise<TestDatabase>, ...sql: string[]): Promise<void> {
  database = await create();
  ({ db } = database);
  for (const text of [KAN, ...sql]) await run(text);
}

const run = (text: string) => db.transaction((tx) => tx.script(text));
const decide = (secret: string) => createAuthenticator({ db, cache: false }).authenticate(secret);
const ANY = { ...EVERYTHING, legacyOnly: true } as const;
const PAGE = { limit: 50, cursor: null, descending: false } as const;

/** Every row of the host's tables, in the columns that it had. */
async function readHostRows(columns: readonly { table: string; column: string }[]): Promise<unknown[]> {
  const tables = [...new Set(columns.map(({ table }) => table))];
  return Promise.all(
    tables.map((table) => {
      const own = columns.filter((each) => each.table === table).map(({ column }) => `"${column}"`);
      return db.query(`SELECT ${own.join(", ")} FROM ${table} ORDER BY id`);
    }),
  );
}

const readHostColumns = () =>
  db.query<{ table: string; column: string }>(
    `SELECT attrelid::regclass::text AS "table", attname::text AS "column" FROM pg_attribute
      WHERE attrelid IN ('machine_identity'::regclass, 'machine_identity_credential'::regclass, 'agent_token'::regclass, 'agent_audit_event'::regclass)
        AND attnum > 0 AND NOT attisdropped ORDER BY 1, attnum`,
  );

describe.each(databases())("a host with machine identities on $name", ({ create, createBare }) => {
  describe.each([
    ["minimal", MINIMAL],
    ["fuller", FULLER],
  ])("in the %s shape", (_shape, sql) => {
    beforeEach(() => openHost(createBare, sql, ROWS));

    test("keeps every row, and says of each in its own columns what it said, where credential and token agreed", async () => {
      const columns = await readHostColumns();
      const own = columns.filter(({ column }) => !["status", "revokedAt", "expiresAt"].includes(column));
      await run(
        `UPDATE agent_token t SET "machineIdentityId" = c."machineIdentityId" FROM machine_identity_credential c WHERE c."publicId" = t."publicId"`,
      );
      const before = await readHostRows(own);

      await migrate(db);

      expect(await readHostRows(own.filter(({ column }) => column !== "createdAt"))).toEqual(
        before.map((rows) =>
          (rows as Record<string, unknown>[]).map(({ createdAt: _rounded, ...row }) => row),
        ),
      );
    });

    test("has every guard afterwards, constraints included, whatever the host calls its own", async () => {
      await migrate(db);

      const { findings } = await diagnose(db, Date.now);

      expect(findings.filter(({ check }) => check === "guards")).toEqual([]);
    });

    test("ends with our columns, keys, indexes and triggers, as a database of our own has them", async () => {
      await migrate(db);
      const hosted = await readShape(db);
      const fresh = await create();
      onTestFinished(() => fresh.dispose());
      const own = await readShape(fresh.db);

      const missing = (part: keyof Shape) => {
        const there = new Set(hosted[part]);
        return own[part].filter(
          (line) => /^(machine_identity|midctl_)|ON machine_identity/.test(line) && !there.has(line),
        );
      };
      expect(hosted.triggers).toEqual(own.triggers);
      // Wider than ours is kept: the check holds the length. What id is filled by is the host's.
      expect(missing("columns").filter((line) => !/^machine_identity slug /.test(line))).toEqual([]);
      expect(missing("constraints")).toEqual([]);
      expect(own.indexes.filter((line) => !hosted.indexes.includes(line))).toEqual([]);
    });

    test("has each credential decided on as its state says, and none forgotten", async () => {
      await migrate(db);

      const codes = new Map<string, string>();
      for (const id of [
        "active001",
        "paused001",
        "revoked01",
        "hostgone1",
        "oldgrace1",
        "until0001",
        "adoptme01",
        "ofpaused1",
      ]) {
        const decision = await decide(`kanagent_tok${id}`);
        codes.set(id, decision.ok ? decision.actor.slug : decision.code);
      }
      expect(Object.fromEntries(codes)).toEqual({
        active001: "deploy-bot",
        paused001: "paused",
        revoked01: "revoked",
        // The host had revoked the token alone, which revokes its credential.
        hostgone1: "revoked",
        // Superseded, and its token still in force: in grace until that ends.
        oldgrace1: "deploy-bot",
        until0001: "deploy-bot",
        adoptme01: "unknown",
        ofpaused1: "identity_paused",
      });
    });

    test("has the sooner end hold, for credential and token", async () => {
      await migrate(db);

      expect(
        await db.query(
          `SELECT c."expiresAt" AS credential, t."expiresAt" AS token FROM machine_identity_credential c JOIN agent_token t USING ("publicId")
            WHERE "publicId" = 'tokuntil0001'`,
        ),
      ).toEqual([{ credential: "2098-01-01 00:00:00", token: "2098-01-01 00:00:00" }]);
    });

    test("has a credential revoked whose token the host had revoked, and the token of a revoked one", async () => {
      await run(`UPDATE agent_token SET "revokedAt" = NULL WHERE "publicId" = 'tokrevoked01'`);

      await migrate(db);

      expect(
        await db.query(
          `SELECT "publicId" AS id, c.status, c."revokedAt" IS NOT DISTINCT FROM t."revokedAt" AS agreed
             FROM machine_identity_credential c JOIN agent_token t USING ("publicId")
            WHERE "publicId" IN ('tokhostgone1', 'tokrevoked01') ORDER BY 1`,
        ),
      ).toEqual([
        { id: "tokhostgone1", status: "revoked", agreed: true },
        { id: "tokrevoked01", status: "revoked", agreed: true },
      ]);
    });

    test("has each identity and credential named in the log, once", async () => {
      await migrate(db);

      const entries = await db.query<{ action: string; name: string }>(
        `SELECT action, coalesce(credential, "identity") AS name FROM midctl_log ORDER BY "index"`,
      );
      expect(entries.map(({ action, name }) => `${action} ${name ?? ""}`)).toEqual([
        "environment.create ",
        ...["identdeploy1", "identpaused1", "identrevoke1", "identrevoke2"].map(
          (id) => `identity.adopt ${id}`,
        ),
        ...["active001", "paused001", "revoked01", "hostgone1", "oldgrace1", "until0001", "ofpaused1"].map(
          (id) => `credential.adopt tok${id}`,
        ),
      ]);
    });

    test("lists a token with an identity and no credential as refused, and adopts it into its own", async () => {
      await migrate(db);

      const { tokens } = await listTokens(db, ANY, PAGE);
      expect(tokens).toContainEqual(
        expect.objectContaining({
          id: "at_tokadoptme01",
          identity: "deploy-bot",
          effectiveStatus: "refused",
        }),
      );
      const { proposals } = await proposeAdoption(db, null, null);
      expect(proposals).toContainEqual(
        expect.objectContaining({ token: "at_tokadoptme01", slug: "deploy-bot", credential: "default-2" }),
      );
      await adoptToken(db, ALICE, { token: "tokadoptme01", identity: "deploy-bot", name: "second" });
      expect(await decide("kanagent_tokadoptme01")).toMatchObject({
        ok: true,
        actor: { slug: "deploy-bot" },
      });
    });

    test("is the same after a second run", async () => {
      await migrate(db);
      const before = [await readShape(db), await readHostRows(await readHostColumns())];

      expect((await migrate(db)).applied).toEqual([]);

      expect([await readShape(db), await readHostRows(await readHostColumns())]).toEqual(before);
    });

    test("is told every statement first, and is not touched by that", async () => {
      const before = await readShape(db);

      const plan = await planMigration(db);

      const told = plan.statements.map(({ sql: text }) => text);
      expect(told).toContainEqual(
        'ALTER TABLE machine_identity DROP CONSTRAINT "machine_identity_workspaceId_fkey"',
      );
      expect(plan.statements.find(({ sql: text }) => text.startsWith("LOCK TABLE"))).toMatchObject({
        manner: "host",
        locks: expect.arrayContaining([{ table: "machine_identity", mode: "ACCESS EXCLUSIVE" }]),
      });
      expect(told).not.toContainEqual(expect.stringContaining('CREATE TABLE "machine_identity"'));
      expect(await readShape(db)).toEqual(before);
    });

    test("deletes a workspace as before: tokens go, identities and credentials stay, revoked", async () => {
      await migrate(db);

      await run(`DELETE FROM workspace WHERE slug = 'one'`);

      expect(
        await db.query(
          `SELECT slug, status, "workspaceId" AS workspace FROM machine_identity WHERE id < 3 ORDER BY id`,
        ),
      ).toEqual([
        { slug: "deploy-bot", status: "revoked", workspace: null },
        { slug: "paused-bot", status: "revoked", workspace: null },
      ]);
      expect(
        await db.query(
          `SELECT (SELECT count(*)::int FROM machine_identity_credential) AS credentials, (SELECT count(*)::int FROM agent_token WHERE "publicId" LIKE 'tok%') AS tokens`,
        ),
      ).toEqual([{ credentials: 7, tokens: 0 }]);
    });

    test("revokes a token of a credential, deletes a legacy one and a user, and no identity", async () => {
      await migrate(db);

      await run(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'tokactive001'`);
      await run(`DELETE FROM agent_token WHERE "publicId" = 'legacyopen01'; DELETE FROM "user"`);

      expect(await decide("kanagent_tokactive001")).toMatchObject({ ok: false, code: "revoked" });
      await expect(run("DELETE FROM machine_identity")).rejects.toMatchObject({ code: "illegal_transition" });
      await expect(run(`DELETE FROM agent_token WHERE "publicId" = 'tokactive001'`)).rejects.toMatchObject({
        code: "illegal_transition",
      });
    });

    test("is not rolled back: its identities keep the schema, counted", async () => {
      await migrate(db);

      await expect(previewRollback(db)).rejects.toMatchObject({
        code: "conflict",
        details: { identities: 4, tokens: 8, events: 0 },
      });
    });
  });

  describe("in the fuller shape", () => {
    test("has names, threads and owners taken from what it kept", async () => {
      await openHost(createBare, FULLER, ROWS);
      await run(
        `UPDATE machine_identity SET name = 'Deploy bot', "createdBy" = '00000000-0000-4000-8000-00000000000a' WHERE id = 1;
         UPDATE machine_identity SET provider = 'codex', "threadId" = 't-1' WHERE id = 2`,
      );

      await migrate(db);

      expect(
        await db.query(
          `SELECT slug, "displayName", owner, kind, color FROM machine_identity WHERE id < 3 ORDER BY id`,
        ),
      ).toEqual([
        {
          slug: "deploy-bot",
          displayName: "Deploy bot",
          owner: "ada@example.test",
          kind: "service",
          color: "#888888",
        },
        { slug: "paused-bot", displayName: "paused-bot", owner: "one", kind: "thread", color: "#888888" },
      ]);
    });

    test("lets a user go who made an identity", async () => {
      await openHost(createBare, FULLER, ROWS);
      await run(`UPDATE machine_identity SET "createdBy" = '00000000-0000-4000-8000-00000000000a'`);
      await migrate(db);

      await run(`DELETE FROM "user"`);

      expect(await db.query(`SELECT DISTINCT "createdBy" AS creator FROM machine_identity`)).toEqual([
        { creator: null },
      ]);
    });
  });

  describe("but none made yet", () => {
    test.each([
      ["minimal", MINIMAL],
      ["fuller", FULLER],
    ])("is rolled back to what it was, in the %s shape", async (_shape, sql) => {
      await openHost(createBare, sql);
      const before = [await readShape(db), await readHostRows(await readHostColumns())];
      await migrate(db);

      await rollbackDatabase(db, await previewRollback(db), null);

      expect([await readShape(db), await readHostRows(await readHostColumns())]).toEqual(before);
    });

    test("and no table of credentials, gets that table, and is rid of it after a rollback", async () => {
      await openHost(createBare, `${MINIMAL}; DROP TABLE machine_identity_credential`);
      await migrate(db);
      expect(await db.query("SELECT FROM machine_identity_credential")).toEqual([]);

      await rollbackDatabase(db, await previewRollback(db), null);

      expect(
        await db.query(
          `SELECT to_regclass('machine_identity_credential') AS gone, to_regclass('machine_identity')::text AS kept`,
        ),
      ).toEqual([{ gone: null, kept: "machine_identity" }]);
    });
  });

  describe("of another shape", () => {
    beforeEach(() => openHost(createBare, FULLER, ROWS));

    test.each([
      ["DROP TABLE machine_identity CASCADE", "there is machine_identity_credential and no machine_identity"],
      ["ALTER TABLE machine_identity DROP COLUMN slug", 'machine_identity has no column "slug"'],
      [
        "ALTER TABLE machine_identity ALTER slug TYPE varchar(40)",
        'machine_identity."slug" is character varying(40), not character varying(63)',
      ],
      [`ALTER TABLE machine_identity ADD labels text`, 'machine_identity."labels" is text, not jsonb'],
      [
        `ALTER TABLE machine_identity ALTER "revokedAt" TYPE timestamptz`,
        'machine_identity."revokedAt" is timestamp with time zone',
      ],
      [
        `ALTER TABLE machine_identity ADD team int NOT NULL DEFAULT 1; ALTER TABLE machine_identity ALTER team DROP DEFAULT`,
        'machine_identity."team" must be filled',
      ],
      ["ALTER TABLE machine_identity ALTER id DROP DEFAULT", 'machine_identity."id" does not fill itself'],
      [
        `UPDATE machine_identity_credential SET name = 'c' || id; ALTER TABLE machine_identity_credential ADD UNIQUE ("machineIdentityId", name)`,
        "unique index machine_identity_credential_machineIdentityId_name_key",
      ],
      [
        `CREATE UNIQUE INDEX one_current ON machine_identity_credential ("machineIdentityId") WHERE status = 'active' AND name = 'nobody'`,
        "unique index one_current",
      ],
      [
        `ALTER TABLE machine_identity ADD CONSTRAINT two CHECK (status <> 'asleep')`,
        'the check two on "status"',
      ],
      [
        "ALTER TABLE machine_identity ADD CONSTRAINT apart EXCLUDE USING btree (slug WITH =)",
        "the exclusion constraint apart",
      ],
      [
        "CREATE INDEX machine_identity_owner_idx ON machine_identity (color)",
        "an index of its own named machine_identity_owner_idx",
      ],
      [
        `ALTER TABLE agent_token ALTER "machineIdentityId" TYPE int`,
        'agent_token."machineIdentityId" is integer',
      ],
    ])("is refused, and the difference named: %s", async (change, difference) => {
      await run(change);
      const before = await readShape(db);

      for (const attempt of [planMigration, migrate]) {
        await expect(attempt(db)).rejects.toMatchObject({
          code: "schema_version",
          message: expect.stringContaining(difference),
        });
      }
      expect(await readShape(db)).toEqual(before);
    });
  });

  describe("with rows that break a rule", () => {
    beforeEach(() => openHost(createBare, MINIMAL, ROWS));

    test.each([
      [
        `UPDATE machine_identity SET slug = 'No Slug' || id WHERE id < 3`,
        '2 of machine_identity have a slug that is none ("identdeploy1", "identpaused1")',
      ],
      [
        `UPDATE machine_identity SET slug = 'deploy-bot' WHERE id = 3`,
        '2 of machine_identity share their slug with another, maybe of another workspace ("identdeploy1", "identrevoke1")',
      ],
      [
        `UPDATE machine_identity SET status = 'asleep' WHERE id = 1`,
        "1 of machine_identity have a status other than",
      ],
      [
        `UPDATE machine_identity SET "revokedAt" = now() WHERE id = 1`,
        '1 of machine_identity have a "revokedAt" and are not revoked',
      ],
      [
        `UPDATE machine_identity SET "publicId" = 'short' WHERE id = 1`,
        '1 of machine_identity have a public id that is not 12 letters or digits ("short")',
      ],
      [
        `DELETE FROM agent_token WHERE "publicId" = 'tokpaused001'`,
        '1 of machine_identity_credential have no agent token of their public id, which would be their secret ("mc_tokpaused001")',
      ],
      [
        `UPDATE machine_identity_credential SET status = 'used' WHERE id = 1`,
        "1 of machine_identity_credential have a status other than",
      ],
      [
        `UPDATE machine_identity_credential SET name = 'default' WHERE id = 2`,
        '2 of machine_identity_credential are current under one name of one machine identity ("mc_tokactive001", "mc_tokpaused001")',
      ],
      [
        `UPDATE machine_identity_credential SET status = 'pending', name = 'x' WHERE id IN (1, 2)`,
        "2 of machine_identity_credential are pending under one name",
      ],
      [
        `UPDATE machine_identity_credential SET name = 'Main Key' WHERE id = 1`,
        "1 of machine_identity_credential have a name that is none",
      ],
      [
        `UPDATE agent_token SET "machineIdentityId" = 2 WHERE "publicId" = 'tokactive001'`,
        "1 of machine_identity_credential have an agent token of another machine identity",
      ],
      [
        `UPDATE agent_token SET "workspaceId" = 2 WHERE "publicId" = 'tokactive001'`,
        "1 of machine_identity_credential have an agent token of another workspace",
      ],
      [
        `UPDATE agent_token SET scopes = 'cards' WHERE "publicId" = 'tokactive001'`,
        '1 of machine_identity_credential have scopes that are no JSON array of strings ("mc_tokactive001")',
      ],
      [
        `UPDATE agent_token SET "tokenHash" = 'short' WHERE "publicId" = 'tokactive001'`,
        "1 of machine_identity_credential have an agent token whose hash is no SHA-256 in hex",
      ],
      [
        `UPDATE agent_audit_event SET "machineIdentityId" = 99 WHERE "publicId" = 'eventbyactiv'`,
        '1 of agent_audit_event are of a machine identity that is not there ("eventbyactiv")',
      ],
    ])("is refused, and the rule named with how many and which: %s", async (change, rule) => {
      await run(change);

      for (const attempt of [planMigration, migrate]) {
        await expect(attempt(db)).rejects.toMatchObject({
          code: "schema_version",
          message: expect.stringContaining(rule),
        });
      }
      expect(await db.query("SELECT to_regclass('midctl_migration') AS history")).toEqual([
        { history: null },
      ]);
    });

    test("is told all that is wrong at once, and no hash", async () => {
      await run(
        `UPDATE machine_identity SET slug = 'No Slug' WHERE id = 1; UPDATE agent_token SET scopes = 'x', "tokenHash" = upper("tokenHash")`,
      );

      const error = await migrate(db).then(
        () => null,
        (refused: unknown) => refused,
      );

      expect(error).toMatchObject({ details: { differences: { length: 3 } } });
      expect(JSON.stringify(error)).not.toMatch(/[0-9a-f]{64}/i);
    });
  });
});

describe.each(postgresDatabases())("a host that works on meanwhile, on $name", ({ createBare }) => {
  test("is not queued behind locks that we cannot have, keeps everything, and is taken in later", async () => {
    await openHost(createBare, FULLER, ROWS);
    const holder = openPostgres({ url: database.url ?? "" }, { max: 1 });
    const before = await readShape(db);
    const letGo = await holdTable(holder, "machine_identity");
    onTestFinished(async () => {
      await Promise.allSettled([letGo(), holder.close()]);
    });

    await expect(migrate(db, { patience: 200 })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("in use all the time"),
    });

    expect(await readShape(db)).toEqual(before);
    await letGo();
    expect((await migrate(db)).applied).toContain("0006_host.sql");
  });
});
