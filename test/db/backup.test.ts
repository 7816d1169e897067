import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readSchemaState } from "../../src/db/migrate.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { issueActive, revoke } from "../verifier/scene.ts";

const BIN = "/usr/lib/postgresql/15/bin";

/** README, "Backup": what it says, with the tools of Debian's PostgreSQL 15. */
describe.each(
  postgresDatabases().filter(({ name }) => name === "PostgreSQL 15" && existsSync(`${BIN}/pg_dump`)),
)("a dump of $name, restored into an empty database", ({ create, createBare }) => {
  let original: TestDatabase;
  let restored: TestDatabase;
  let good: string;
  let gone: string;

  beforeEach(async () => {
    original = await create();
    good = await issueActive(original.db, "bot", { scopes: ["cards:*"] });
    gone = await issueActive(original.db, "leaver");
    await revoke(original.db, "leaver");
    restored = await createBare();
    // Past a pooler: a dump empties search_path for its session, which others would get next.
    const dump = execFileSync(`${BIN}/pg_dump`, [original.directUrl ?? ""], { encoding: "utf8" });
    execFileSync(`${BIN}/psql`, ["-q", "-v", "ON_ERROR_STOP=1", "-1", restored.directUrl ?? ""], {
      input: dump,
    });
  });
  afterEach(async () => {
    await restored.dispose();
    await original.dispose();
  });

  const readAll = ({ db }: TestDatabase) =>
    db.query(
      `SELECT 'identity' AS what, to_jsonb(i)::text AS it FROM machine_identity i
       UNION ALL SELECT 'credential', to_jsonb(c)::text FROM machine_identity_credential c
       UNION ALL SELECT 'token', to_jsonb(t)::text FROM agent_token t
       UNION ALL SELECT 'log', to_jsonb(l)::text FROM midctl_log l
       UNION ALL SELECT 'environment', to_jsonb(e)::text FROM midctl_environment e ORDER BY 1, 2`,
    );

  test("has every identity, credential, token and log entry", async () => {
    expect(await readAll(restored)).toEqual(await readAll(original));
    expect(await readSchemaState(restored.db)).toMatchObject({ state: "current" });
  });

  test("is guarded as the original was", async () => {
    const [before, after] = await Promise.all([original, restored].map(({ db }) => diagnose(db, Date.now)));

    expect(after?.findings).toEqual(before?.findings);
    await expect(
      restored.db.query("UPDATE machine_identity SET slug = 'other' WHERE slug = 'bot'"),
    ).rejects.toMatchObject({ code: "illegal_transition" });
  });

  test("decides as the original does, and goes on with its log", async () => {
    const verifier = createAuthenticator({ db: restored.db, cache: false });

    expect(await verifier.authenticate(good)).toMatchObject({ ok: true, actor: { slug: "bot" } });
    expect(await verifier.authenticate(gone)).toEqual({ ok: false, code: "identity_revoked" });
    await revoke(restored.db, "bot");
    expect(await restored.db.query(`SELECT max("index") + 1 = count(*) AS gapless FROM midctl_log`)).toEqual([
      { gapless: true },
    ]);
  });
});
