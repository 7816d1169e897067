import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { readHiddenTables } from "../../src/repository/environment.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";

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
    await database.db.transaction((tx) =>
      tx.script(`CREATE ROLE ${role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`),
    );
    const url = new URL(database.url ?? "");
    url.username = role;
    reader = openPostgres({ url: url.href });
  });
  afterEach(async () => {
    await reader.close();
    await database.db.transaction((tx) => tx.script(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
    await database.dispose();
  });

  const authenticate = (token: string) =>
    createAuthenticator({ db: reader, cache: false }).authenticate(token);

  test("that hides every token makes answers unavailable, never unknown", async () => {
    expect(await authenticate("kanagent_open")).toEqual({ ok: false, code: "unavailable" });
    await expect(verifyToken(reader, "kanagent_open", null)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("Row-level security"),
    });
    expect(await readHiddenTables(reader)).toEqual(["agent_token", "agent_audit_event"]);
  });

  test("with a policy that lets the user read is none of our business", async () => {
    await database.db.query(`CREATE POLICY read ON agent_token FOR SELECT TO ${role} USING (true)`);

    expect(await authenticate("kanagent_open")).toMatchObject({ ok: true });
    expect(await authenticate("kanagent_none")).toEqual({ ok: false, code: "unknown" });
    expect(await readHiddenTables(reader)).toEqual(["agent_audit_event"]);
  });

  test("does not bind the owner of the tables", async () => {
    const owner = createAuthenticator({ db: database.db, cache: false });

    expect(await owner.authenticate("kanagent_none")).toEqual({ ok: false, code: "unknown" });
    expect(await readHiddenTables(database.db)).toEqual([]);
  });
});
