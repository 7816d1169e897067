import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { initDatabase } from "../../src/operations/db-init.ts";
import { approved, creation, ENDS, ISSUES, type Line, permitAs, take, updates } from "../guards/approvals.ts";
import { identity, issue, readValue, set, setIdentity, setToken } from "../guards/scene.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { ALICE } from "../verifier/scene.ts";

/**
 * What hand-written SQL may do in a protected environment, over transactions that commit: test/guards/attacks has what each
 * single one may not.
 */
const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const PROTECTED = { name: "production", live: false, protected: true };

const ISSUE: Line = {
  ...{ do: "credential.issue", identity: "svc" },
  ...{ credential: "active000001", secret: "active000001" },
  terms: { ...ISSUES, create: creation("svc") },
};
/** The line that gives `svc` this owner, and the change that it says. */
const ownedBy = (owner: string): readonly [Line, string] => [
  { do: "identity.update", identity: "svc", terms: updates({ owner: `'${owner}'` }) },
  setIdentity("svc", `owner = '${owner}'`),
];

let asked = 0;
/** Twelve characters. */
const nextId = (): string => `asked${String(++asked).padStart(7, "0")}`;

/** Statements in one transaction. */
const commit = (db: Database, ...statements: readonly string[]): Promise<void> =>
  db.transaction((tx) => tx.script(statements.join(";\n")));

/** The code that a transaction of these statements is refused with. */
async function refusal(db: Database, ...statements: readonly string[]): Promise<string> {
  const error = await commit(db, ...statements).catch((reason: unknown) => reason);
  return error instanceof MidctlError ? error.code : "not refused";
}

const ownerOf = (db: Database): Promise<string> =>
  readValue(db, `SELECT owner FROM machine_identity WHERE slug = 'svc'`);

describe.each(databases())("an approved line, on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await factory.create();
    db = database.db;
    await initDatabase(db, ALICE, PROTECTED);
    await commit(db, permitAs(nextId(), ISSUE), identity("svc"), issue("active000001", "svc", ENDS));
  });
  afterAll(() => database?.dispose());

  const outcome = (id: string): Promise<string | null> =>
    readValue(
      db,
      `SELECT outcome FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId" WHERE a."publicId" = $1`,
      [id],
    );

  test("is carried out in the transaction that uses it up", async () => {
    const id = nextId();
    const [line, change] = ownedBy("by the line");
    await commit(db, approved(id, line));

    await commit(db, take(id), change);

    expect(await ownerOf(db)).toBe("by the line");
    expect(await outcome(id)).toBe("done");
  });

  test("gives no right to the next transaction", async () => {
    const id = nextId();
    const [line, change] = ownedBy("in time");
    await commit(db, permitAs(id, line), change);
    await commit(db, permitAs(nextId(), ownedBy("since then")[0]), ownedBy("since then")[1]);

    expect(await refusal(db, change)).toBe("approval_required");
    expect(await refusal(db, take(id), change)).toBe("conflict");
  });

  test("is used up by its change alone: its transaction does not commit without", async () => {
    const id = nextId();
    const [line, change] = ownedBy("in the end");
    await commit(db, approved(id, line));

    expect(await refusal(db, take(id))).toBe("conflict");

    expect(await outcome(id)).toBeNull();
    await commit(db, take(id), change);
    expect(await ownerOf(db)).toBe("in the end");
  });

  test("is open again where its transaction is rolled back", async () => {
    const id = nextId();
    const [line, change] = ownedBy("after all");
    await commit(db, approved(id, line));

    expect(await refusal(db, take(id), setIdentity("svc", "slug = 'other'"))).toBe("illegal_transition");

    expect(await outcome(id)).toBeNull();
    await commit(db, take(id), change);
    expect(await ownerOf(db)).toBe("after all");
  });

  test("is named by the entry of the log of what was done by it", async () => {
    const id = nextId();
    const [line, change] = ownedBy("by leave");

    await commit(db, permitAs(id, line), change);

    expect(
      await readValue(
        db,
        `SELECT entry::jsonb ->> 'approval' FROM midctl_log WHERE action = 'identity.update' ORDER BY "index" DESC LIMIT 1`,
      ),
    ).toBe(`ap_${id}`);
  });

  test("is named by no entry of what else its transaction does", async () => {
    const id = nextId();
    const [line, change] = ownedBy("by leave too");

    await commit(db, set("active000001", "status = 'active'"), permitAs(id, line), change);

    expect(
      await db.query(
        `SELECT action, entry::jsonb ->> 'approval' AS approval FROM midctl_log
          WHERE action IN ('credential.activate', 'identity.update') ORDER BY "index" DESC LIMIT 2`,
      ),
    ).toEqual([
      { action: "identity.update", approval: `ap_${id}` },
      { action: "credential.activate", approval: null },
    ]);
  });

  test("is named by each entry of the log that a request, a vote and a supersession leave", async () => {
    const id = nextId();
    await commit(db, approved(id, ownedBy("nobody")[0]), take(id, "'superseded'"));

    const rows = await db.query<{ action: string }>(
      `SELECT action FROM midctl_log WHERE entry LIKE '%' || $1 || '%' ORDER BY "index"`,
      [id],
    );

    expect(rows.map(({ action }) => action)).toEqual([
      "approval.request",
      "approval.approve",
      "approval.supersede",
    ]);
  });
});

describe.each(postgresDatabases())("a transaction that began before a change, on $name", (factory) => {
  test("carries no line out that was made on what was before it", async () => {
    const database = await factory.create();
    const { db } = database;
    await initDatabase(db, ALICE, PROTECTED);
    const [asked, pausing] = [nextId(), nextId()];
    const [line, change] = ownedBy("late");
    await commit(db, permitAs(nextId(), ISSUE), identity("svc"), issue("active000001", "svc", ENDS));
    await commit(db, approved(asked, line));
    const other = openPostgres({ url: database.url ?? "" });

    const refused = await db
      .transaction(async (tx) => {
        await tx.script("SELECT 1");
        await commit(
          other,
          permitAs(pausing, { do: "pause", identity: "svc" }),
          setIdentity("svc", "status = 'paused'"),
        );
        await tx.script(`${take(asked)}; ${change}`);
      })
      .catch((error: unknown) => error);

    expect(refused).toMatchObject({ code: "approval_required" });
    await other.close();
    await database.dispose();
  });
});

describe.each(postgresDatabases())("two sessions that carry out one line, on $name", (factory) => {
  test("do so once: the other waits, and is refused", async () => {
    const database = await factory.create();
    const other = openPostgres({ url: database.url ?? "" });
    try {
      const { db } = database;
      await initDatabase(db, ALICE, PROTECTED);
      await commit(db, permitAs(nextId(), ISSUE), identity("svc"), issue("active000001", "svc", ENDS));
      const id = nextId();
      const [line, change] = ownedBy("one of them");
      await commit(db, approved(id, line));

      const ends = await Promise.allSettled(
        [db, other].map((each) =>
          each.transaction(async (tx) => {
            await tx.script(take(id));
            await tx.script(change);
          }),
        ),
      );

      expect(ends.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      const refused = ends.find((end) => end.status === "rejected");
      expect(refused?.reason).toMatchObject({ code: "conflict" });
    } finally {
      await other.close();
      await database.dispose();
    }
  });
});

/** Two credentials of one new identity in a workspace. */
const FIRST: Line = {
  ...ISSUE,
  terms: { ...ISSUES, create: creation("svc", { workspace: "midctl_workspace_slug(1)" }) },
};
const SECOND: Line = {
  ...FIRST,
  ...{ credential: "second000001", secret: "second000001" },
  terms: { ...FIRST.terms, name: "'second'" },
};

describe.each(databases())("the host of a protected environment, on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await factory.createBare();
    db = database.db;
    await commit(db, KAN);
    await migrate(db);
    await commit(db, `UPDATE agent_token SET "revokedAt" = now()`);
    await initDatabase(db, ALICE, PROTECTED);
    await commit(
      db,
      permitAs(nextId(), FIRST, SECOND),
      identity("svc", { workspaceId: "1" }),
      issue("active000001", "svc", ENDS),
      issue("second000001", "svc", { ...ENDS, name: "'second'" }),
    );
    await commit(db, set("active000001", "status = 'active'"));
  });
  afterAll(() => database?.dispose());

  const statusOf = (publicId: string): Promise<string> =>
    readValue(db, `SELECT status FROM machine_identity_credential WHERE "publicId" = $1`, [publicId]);

  test("notes the use of a token", async () => {
    await commit(db, setToken("active000001", `"lastUsedAt" = midctl_now()`));

    expect(
      await readValue(
        db,
        `SELECT "lastUsedAt" IS NOT NULL FROM agent_token WHERE "publicId" = 'active000001'`,
      ),
    ).toBe(true);
  });

  test("revokes a token, and the credential with it", async () => {
    await commit(db, setToken("second000001", `"revokedAt" = midctl_now()`));

    expect(await statusOf("second000001")).toBe("revoked");
  });

  test("deletes a workspace, whose identities and credentials end", async () => {
    await commit(db, "DELETE FROM workspace WHERE id = 1");

    expect(await statusOf("active000001")).toBe("revoked");
    expect(await readValue(db, `SELECT status FROM machine_identity WHERE slug = 'svc'`)).toBe("revoked");
    expect(await readValue(db, `SELECT count(*)::int FROM agent_token WHERE "workspaceId" = 1`)).toBe(0);
  });
});
