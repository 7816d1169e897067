import { cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { listMigrations } from "../../src/db/migrations.ts";
import { findGatedUpgrade, requireSameMigrations } from "../../src/operations/db-migrate.ts";
import { protectEnvironment } from "../../src/operations/db-protect.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { OPERATOR } from "../support/trust.ts";

/** Where protected, the schema is upgraded, or taken away, by a plan that was approved in a file (SPEC §9). */
describe.each(postgresDatabases().slice(0, 1))("upgrading a protected environment on $name", ({ create }) => {
  let database: TestDatabase;
  let directory: string;
  beforeAll(async () => {
    database = await create();
    directory = mkdtempSync(join(inject("scratch"), "migrations-"));
    cpSync(new URL("../../migrations", import.meta.url), directory, { recursive: true });
    const number = String(listMigrations(directory).length + 1).padStart(4, "0");
    writeFileSync(join(directory, `${number}_next.sql`), "CREATE TABLE midctl_next (id int);\n");
  });
  afterAll(() => database.dispose());

  it("asks for nothing where nothing is protected", async () => {
    expect(await findGatedUpgrade(database.db, { directory: directory })).toBeNull();
  });

  it("asks for the very migrations that are missing", async () => {
    await protectEnvironment(database.db, OPERATOR, []);

    const gated = await findGatedUpgrade(database.db, { directory: directory });

    expect(gated?.migrations).toEqual([
      { name: expect.stringMatching(/_next\.sql$/), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
  });

  it("takes no approval of other bytes", async () => {
    const gated = await findGatedUpgrade(database.db, { directory: directory });
    if (gated === null) throw new Error("nothing is gated");
    const [migration] = gated.migrations;
    const line = (sha256: string) => ({
      ...{ do: "db.migrate" as const, identity: null, credential: null, token: null },
      migrations: [{ name: migration?.name ?? "", sha256 }],
    });

    expect(() => requireSameMigrations(line(migration?.sha256 ?? ""), gated)).not.toThrow();
    expect(() => requireSameMigrations(line("0".repeat(64)), gated)).toThrow(
      /Other migrations were approved/,
    );
  });

  it("has nothing to ask for once it is done", async () => {
    await migrate(database.db, { directory: directory });

    expect(await findGatedUpgrade(database.db, { directory: directory })).toBeNull();
  });
});
