import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { grantRoles } from "../../src/operations/db-grant.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { readHiddenTables } from "../../src/repository/environment.ts";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { ALICE } from "./scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

describe.each(postgresDatabases())("row-level security as in Kan, on $name", ({ createBare }) => {
  const role = `reader_${randomBytes(4).toString("hex")}`;
  let database: TestDatabase;
  let reader: Database;

  beforeEach(async () => {
    database = await createBare();
    await database.db.transaction((tx) => tx.script(KAN));
    await database.db.query(
      `UPDATE agent_token SET "tokenHash" = encode(sha256('kanagent_open'), 'hex') WHERE "publicId" = 'legacyopen01'`,
    );
    await migrate(database.db);
    await database.db.transaction((tx) => tx.script(`CREATE ROLE ${role} LOGIN`));
    const url = new URL(database.url ?? "");
    url.username = role;
    reader = openPostgres({ url: url.href });
  });
  afterEach(async () => {
    await reader.close();
    await database.dispose();
    const server = new URL(database.directUrl ?? "");
    server.pathname = "/postgres";
    await runSql(server.href, `DROP ROLE IF EXISTS ${role}, ${role}_owner`);
  });

  const authenticate = (token: string) =>
    createAuthenticator({ db: reader, cache: false }).authenticate(token);

  test("does not keep a verifier from deciding, which reads through functions that run as the owner", async () => {
    await grantRoles(database.db, ALICE, { name: role, roles: ["verifier"], revoke: false });

    expect(await authenticate("kanagent_open")).toMatchObject({ ok: true });
    expect(await authenticate("kanagent_none")).toEqual({ ok: false, code: "unknown" });
  });

  test("that hides every token from the owner too makes answers unavailable, never unknown", async () => {
    await grantRoles(database.db, ALICE, { name: role, roles: ["verifier"], revoke: false });
    await database.db.transaction((tx) =>
      tx.script(`CREATE ROLE ${role}_owner; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}_owner; GRANT EXECUTE ON FUNCTION midctl_workspace_slug(bigint) TO ${role}_owner;
        ALTER FUNCTION midctl_match_legacy(text[]) OWNER TO ${role}_owner`),
    );

    expect(await authenticate("kanagent_open")).toEqual({ ok: false, code: "unavailable" });
    await expect(verifyToken(reader, "kanagent_open", null)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("Row-level security"),
    });
  });

  test("is noticed by whoever lists, where it hides every token and event", async () => {
    await database.db.transaction((tx) =>
      tx.script(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`),
    );
    const before = await readHiddenTables(reader);

    await database.db.query(`CREATE POLICY read ON agent_token FOR SELECT TO ${role} USING (true)`);

    expect(before).toEqual(["agent_token", "agent_audit_event"]);
    expect(await readHiddenTables(reader)).toEqual(["agent_audit_event"]);
  });

  test("does not bind the owner of the tables", async () => {
    const owner = createAuthenticator({ db: database.db, cache: false });

    expect(await owner.authenticate("kanagent_none")).toEqual({ ok: false, code: "unknown" });
    expect(await readHiddenTables(database.db)).toEqual([]);
  });
});
