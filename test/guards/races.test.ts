import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { readSqlState } from "../../src/db/failure.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { credentialId, identity, issue, legacyToken, readValue, set, setIdentity } from "./scene.ts";

/** Two sessions and more at once: what one row's guard sees, the other must not have changed meanwhile. */
describe.each(postgresDatabases())("races on $name", (factory) => {
  let database: TestDatabase;
  let one: Database;
  let two: Database;

  beforeEach(async () => {
    database = await factory.create();
    const url = database.url ?? "";
    one = openPostgres({ url }, { max: 1 });
    two = openPostgres({ url }, { max: 1 });
    await run(database.db, identity("bare"));
  });
  afterEach(async () => {
    await one.close();
    await two.close();
    await database.dispose();
  });

  test("of eight that issue under one name, one does", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, n) => outcomeOf(run(database.db, issue(`new00000000${n}`, "bare")))),
    );

    expect(outcomes.sort()).toEqual([...Array(7).fill("MC002"), "done"]);
  });

  test("of six that rotate one credential, one does, and one successor comes of it", async () => {
    await run(database.db, `${issue("first0000001", "bare")}; ${set("first0000001", "status = 'active'")}`);

    const outcomes = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        outcomeOf(
          run(database.db, issue(`new00000000${n}`, "bare", { replacesId: credentialId("first0000001") })),
        ),
      ),
    );

    expect(outcomes.sort()).toEqual([...Array(5).fill("MC002"), "done"]);
    const [made] = await one.query<{ publicId: string }>(
      `SELECT "publicId" FROM machine_identity_credential WHERE status = 'pending'`,
    );
    await run(database.db, set(made?.publicId ?? "", "status = 'active'"));
    expect(
      await readValue(
        one,
        `SELECT count(*)::int FROM machine_identity_credential c WHERE midctl_is_current(c, midctl_now())`,
      ),
    ).toBe(1);
  });

  test("an issuance that waited for another sees it", async () => {
    await one.query("BEGIN");
    for (const statement of split(issue("new000000001", "bare"))) await one.query(statement);
    const waiting = outcomeOf(run(two, issue("new000000002", "bare")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC002");
  });

  test("an issuance that waited for a revocation of the identity is refused", async () => {
    await one.query("BEGIN");
    await one.query(setIdentity("bare", "status = 'revoked'"));
    const waiting = outcomeOf(run(two, issue("new000000001", "bare")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC004");
  });

  test("a revocation of the identity that waited for an issuance takes it along", async () => {
    await one.query("BEGIN");
    for (const statement of split(issue("new000000001", "bare"))) await one.query(statement);
    const waiting = outcomeOf(run(two, setIdentity("bare", "status = 'revoked'")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("done");
    expect(
      await readValue(
        one,
        `SELECT status FROM machine_identity_credential WHERE "publicId" = 'new000000001'`,
      ),
    ).toBe("revoked");
  });

  test("a first use that waited for a pause of the identity does not count", async () => {
    await run(database.db, issue("new000000001", "bare"));
    await one.query("BEGIN");
    await one.query(setIdentity("bare", "status = 'paused'"));
    const waiting = outcomeOf(run(two, set("new000000001", "status = 'active'")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC004");
  });

  test("a first use that waited for a revocation does not bring the credential back", async () => {
    await run(database.db, issue("new000000001", "bare"));
    await one.query("BEGIN");
    await one.query(set("new000000001", "status = 'revoked'"));
    const waiting = outcomeOf(run(two, set("new000000001", "status = 'active'")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC001");
  });

  test("a successor's first use that waited for a pause of the predecessor gives it no grace", async () => {
    await run(
      database.db,
      `${issue("first0000001", "bare")}; ${set("first0000001", "status = 'active'")};
      ${issue("next00000001", "bare", { replacesId: credentialId("first0000001"), graceSeconds: "3600" })}`,
    );
    await one.query("BEGIN");
    await one.query(set("first0000001", "status = 'paused'"));
    const waiting = outcomeOf(run(two, set("next00000001", "status = 'active'")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("done");
    expect(
      await readValue(
        one,
        `SELECT concat_ws(' ', status, "graceUntil" <= midctl_now()) FROM machine_identity_credential WHERE "publicId" = 'first0000001'`,
      ),
    ).toBe("superseded t");
  });

  test("a successor's first use that waited for a revocation of the predecessor lets it rest", async () => {
    await run(
      database.db,
      `${issue("first0000001", "bare")}; ${set("first0000001", "status = 'active'")};
      ${issue("next00000001", "bare", { replacesId: credentialId("first0000001"), graceSeconds: "3600" })}`,
    );
    await one.query("BEGIN");
    await one.query(set("first0000001", "status = 'revoked'"));
    const waiting = outcomeOf(run(two, set("next00000001", "status = 'active'")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("done");
    expect(
      await readValue(
        one,
        `SELECT status FROM machine_identity_credential WHERE "publicId" = 'first0000001'`,
      ),
    ).toBe("revoked");
  });

  test("an environment that waited for an issuance does not become live", async () => {
    await one.query("BEGIN");
    for (const statement of split(issue("new000000001", "bare"))) await one.query(statement);
    const waiting = outcomeOf(
      run(two, "UPDATE midctl_environment SET name = 'prod', named = true, live = true"),
    );
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC002");
  });

  test("a token for the test environment is refused that waited while it became live", async () => {
    await one.query("BEGIN");
    await one.query("UPDATE midctl_environment SET name = 'prod', named = true, live = true");
    const waiting = outcomeOf(run(two, issue("new000000001", "bare")));
    await untilBlocked(database.db);

    await one.query("COMMIT");

    expect(await waiting).toBe("MC002");
    expect(await readValue(one, "SELECT count(*)::int FROM machine_identity_credential")).toBe(0);
  });

  describe.each(["REPEATABLE READ", "SERIALIZABLE"])("in a transaction that is %s", (level) => {
    beforeEach(async () => {
      await run(
        database.db,
        `${legacyToken("legacy000001")}; ${issue("first0000001", "bare")}; ${set("first0000001", "status = 'active'")}`,
      );
      await one.query(`BEGIN ISOLATION LEVEL ${level}`);
      await one.query("SELECT 1 FROM machine_identity");
    });

    test("a second rotation is a serialization failure, which the host may try again", async () => {
      await run(two, issue("new000000001", "bare", { replacesId: credentialId("first0000001") }));

      const late = async () => {
        for (const statement of split(
          issue("new000000002", "bare", { replacesId: credentialId("first0000001") }),
        ))
          await one.query(statement);
        await one.query("COMMIT");
      };

      expect(await outcomeOf(late())).toBe("40001");
    });

    test("an issuance under an identity that was revoked since is a serialization failure", async () => {
      await run(two, setIdentity("bare", "status = 'revoked'"));

      expect(
        await outcomeOf(one.query(split(issue("new000000002", "bare", { name: "'other'" }))[0] ?? "")),
      ).toBe("40001");
    });

    test("an environment that becomes live beside the first credential is a serialization failure", async () => {
      const fresh = await factory.create();
      const behind = openPostgres({ url: fresh.url ?? "" }, { max: 1 });
      try {
        await run(fresh.db, identity("bare"));
        await behind.query(`BEGIN ISOLATION LEVEL ${level}`);
        await behind.query("SELECT 1 FROM machine_identity");
        await run(fresh.db, issue("new000000001", "bare"));
        const late = async () => {
          await behind.query("UPDATE midctl_environment SET name = 'prod', named = true, live = true");
          await behind.query("COMMIT");
        };

        expect(await outcomeOf(late())).toBe("40001");
      } finally {
        await behind.close();
        await fresh.dispose();
      }
    });

    test("TRUNCATE takes no token that its snapshot cannot see", async () => {
      const fresh = await factory.create();
      const behind = openPostgres({ url: fresh.url ?? "" }, { max: 1 });
      try {
        await behind.query(`BEGIN ISOLATION LEVEL ${level}`);
        await behind.query("SELECT 1 FROM machine_identity");
        await run(fresh.db, `${identity("bare")}; ${issue("new000000001", "bare")}`);

        expect(await outcomeOf(behind.query("TRUNCATE agent_token CASCADE"))).toBe("MC003");
      } finally {
        await behind.close();
        await fresh.dispose();
      }
    });
  });

  test("TRUNCATE of legacy tokens alone is the host's own affair", async () => {
    await run(database.db, legacyToken("legacy000001"));

    expect(await outcomeOf(run(one, "TRUNCATE agent_token CASCADE"))).toBe("done");
  });
});

/** Several statements in one transaction. */
async function run(db: Database, statements: string): Promise<void> {
  await db.transaction((tx) => tx.script(statements));
}

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "done",
    (error: unknown) => readSqlState(error) ?? String(error),
  );
}

function split(statements: string): string[] {
  return statements.split("; ");
}

/** Returns once a session of this database waits for another's lock. */
async function untilBlocked(db: Database): Promise<void> {
  for (;;) {
    const [row] = await db.query<{ blocked: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0) AS blocked`,
    );
    if (row?.blocked === true) return;
  }
}
