import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readSqlState } from "../../src/db/failure.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { hashOf, identity, issue, legacyToken, readValue, set, setIdentity, setToken } from "./scene.ts";

interface Leaf {
  readonly index: string;
  readonly entry: string;
  readonly leafHash: Uint8Array;
}

interface Entry {
  readonly index: number;
  readonly action: string;
  readonly actor: { readonly kind: string; readonly name: string };
  readonly sessionUser: string;
  readonly identity: string | null;
  readonly slug: string | null;
  readonly credential: string | null;
  readonly reason: string | null;
  readonly approval: string | null;
  readonly at: string;
  readonly details: Readonly<Record<string, unknown>>;
}

async function readLeaves({ db }: TestDatabase): Promise<Leaf[]> {
  return db.query<Leaf>(`SELECT "index", entry, "leafHash" FROM midctl_log ORDER BY "index"`);
}

async function readEntries(database: TestDatabase): Promise<Entry[]> {
  return (await readLeaves(database)).map(({ entry }) => JSON.parse(entry) as Entry);
}

async function run({ db }: Pick<TestDatabase, "db">, statements: string): Promise<void> {
  await db.transaction((tx) => tx.script(statements));
}

/** Gapless from 0, as long as the head says, each leaf the SHA-256 of its entry by RFC 9162, the queue empty. */
async function expectSound(database: TestDatabase): Promise<void> {
  const leaves = await readLeaves(database);
  expect(leaves.map(({ index }) => Number(index))).toEqual(leaves.map((_, n) => n));
  expect(await readValue(database.db, "SELECT size::int FROM midctl_log_head")).toBe(leaves.length);
  expect(await readValue(database.db, "SELECT count(*)::int FROM midctl_log_queue")).toBe(0);
  // As jsonb writes it, so that whoever makes an entry again from what it says comes to the same bytes.
  expect(
    await readValue(database.db, "SELECT count(*)::int FROM midctl_log WHERE entry <> entry::jsonb::text"),
  ).toBe(0);
  for (const { index, entry, leafHash } of leaves) {
    const expected = createHash("sha256")
      .update(Buffer.from([0]))
      .update(entry, "utf8")
      .digest("hex");
    expect(Buffer.from(leafHash).toString("hex")).toBe(expected);
    expect((JSON.parse(entry) as Entry).index).toBe(Number(index));
  }
}

describe.each(databases())("the log on $name", (factory) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await factory.create();
  });
  afterEach(() => database.dispose());

  test("begins with the environment", async () => {
    const [first] = await readEntries(database);

    expect(first).toMatchObject({
      index: 0,
      action: "environment.create",
      details: { name: "default", live: false, protected: false },
    });
    await expectSound(database);
  });

  test("tells a whole life, hand-written SQL included, in the order in which it happened", async () => {
    const statements = [
      identity("svc", { labels: `'{"team":"größe ✓"}'` }),
      issue("first0000001", "svc"),
      set("first0000001", "status = 'active'"),
      set("first0000001", "status = 'paused'"),
      set("first0000001", "status = 'active'"),
      issue("next00000001", "svc", { replacesId: "1", graceSeconds: "60" }),
      set("next00000001", "status = 'active'"),
      setIdentity("svc", "owner = 'another', \"displayName\" = 'Another'"),
      setIdentity("svc", "status = 'paused'"),
      setIdentity("svc", "status = 'active'"),
      set("next00000001", `"expiresAt" = midctl_now() + interval '1 day'`),
      setIdentity("svc", "status = 'revoked'"),
    ];
    for (const statement of statements) await run(database, statement);

    const entries = (await readEntries(database)).slice(1);

    expect(entries.map(({ action, credential }) => `${action} ${credential ?? ""}`.trim())).toEqual([
      "identity.create",
      "credential.issue first0000001",
      "credential.activate first0000001",
      "credential.pause first0000001",
      "credential.resume first0000001",
      "credential.issue next00000001",
      "credential.supersede first0000001",
      "credential.activate next00000001",
      "identity.update",
      "identity.pause",
      "identity.resume",
      "credential.update next00000001",
      "credential.revoke first0000001",
      "credential.revoke next00000001",
      "identity.revoke",
    ]);
    expect(new Set(entries.map(({ slug }) => slug))).toEqual(new Set(["svc"]));
    expect(entries[8]?.details).toEqual({ displayName: ["svc", "Another"], owner: ["somebody", "another"] });
    await expectSound(database);
  });

  test("names the session's user beside the claimed actor, for the transaction that claims", async () => {
    const claim = `{"actor":{"kind":"operator","name":"ada"},"reason":"because","approval":"ap_x"}`;
    await run(database, `SELECT set_config('midctl.context', '${claim}', true); ${identity("claimed")}`);
    await run(database, identity("unclaimed"));

    const [, claimed, unclaimed] = await readEntries(database);
    const user = await readValue(database.db, "SELECT session_user::text");

    expect(claimed).toMatchObject({
      actor: { kind: "operator", name: "ada" },
      sessionUser: user,
      reason: "because",
      // Only what was used up is believed.
      approval: null,
    });
    expect(unclaimed).toMatchObject({
      actor: { kind: "sql", name: user },
      sessionUser: user,
      reason: null,
      approval: null,
    });
  });

  test("writes what was said as jsonb writes it, whatever is in it", async () => {
    const reason = `"quoted", back\\slash, /, tab\t, bell\u0007, delete\u007f, ligne\nà la ligne, 🔑 and \u2028`;
    const claim = { actor: { name: `o'ada "x"`, kind: "operator" }, reason };
    await database.db.transaction(async (tx) => {
      await tx.query("SELECT set_config('midctl.context', $1, true)", [JSON.stringify(claim)]);
      await tx.script(identity("claimed"));
    });

    const [, claimed] = await readEntries(database);

    expect(claimed).toMatchObject({ ...claim, slug: "claimed", credential: null, approval: null });
    await expectSound(database);
  });

  test("has its query columns from the entry itself", async () => {
    await run(database, `${identity("svc")}; ${issue("first0000001", "svc")}`);

    const rows = await database.db.query<Record<string, string>>(
      `SELECT at, action, actor, identity, credential FROM midctl_log WHERE "index" = 2`,
    );

    const entry = (await readEntries(database))[2];
    expect(rows).toEqual([
      {
        at: entry?.at,
        action: "credential.issue",
        actor: entry?.actor.name,
        identity: hashOf("svc").slice(0, 12),
        credential: "first0000001",
      },
    ]);
    expect(entry?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test("keeps nothing of a change that is rolled back, and leaves no gap", async () => {
    await run(database, identity("before"));
    await expect(
      database.db.transaction(async (tx) => {
        await tx.script(`${identity("lost")}; SET CONSTRAINTS ALL IMMEDIATE`);
        throw new Error("changed my mind");
      }),
    ).rejects.toThrow("changed my mind");
    await run(database, identity("after"));

    expect((await readEntries(database)).map(({ slug }) => slug)).toEqual([null, "before", "after"]);
    await expectSound(database);
  });

  test("keeps nothing of what a savepoint took back in the middle", async () => {
    await run(
      database,
      `${identity("kept-1")}; SAVEPOINT s; ${identity("lost-1")}; ${setIdentity("kept-1", "owner = 'lost'")}; ROLLBACK TO s;
       ${identity("kept-2")}; SAVEPOINT t; ${identity("kept-3")}; RELEASE t; SAVEPOINT u; ${identity("lost-2")}; ROLLBACK TO u`,
    );

    expect((await readEntries(database)).map(({ slug }) => slug)).toEqual([
      null,
      "kept-1",
      "kept-2",
      "kept-3",
    ]);
    await expectSound(database);
  });

  test("is asked for in the middle, and goes on behind", async () => {
    await run(
      database,
      `${identity("one")}; SET CONSTRAINTS ALL IMMEDIATE; ${identity("two")}; SAVEPOINT s; ${identity("lost")}; ROLLBACK TO s;
       SET CONSTRAINTS ALL DEFERRED; ${identity("three")}; ${setIdentity("one", "owner = 'x'")}`,
    );

    expect((await readEntries(database)).map(({ slug }) => slug)).toEqual([
      null,
      "one",
      "two",
      "three",
      "one",
    ]);
    await expectSound(database);
  });

  test("has an entry for each row of a statement over many", async () => {
    await run(
      database,
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
       SELECT lpad(n::text, 12, 'x'), 'n' || n, 'x', 'service', 'x' FROM generate_series(1, 200) n`,
    );
    await run(database, "UPDATE machine_identity SET status = 'paused' WHERE id % 2 = 0");

    const actions = (await readEntries(database)).map(({ action }) => action);
    expect(actions.filter((action) => action === "identity.create")).toHaveLength(200);
    expect(actions.filter((action) => action === "identity.pause")).toHaveLength(100);
    await expectSound(database);
  });

  test("says nothing of use and of changes that change nothing", async () => {
    await run(database, `${identity("svc")}; ${issue("first0000001", "svc")}`);
    const before = (await readEntries(database)).length;

    await run(
      database,
      `${setIdentity("svc", '"lastUsedAt" = midctl_now()')}; ${setIdentity("svc", "owner = owner")};
      ${setToken("first0000001", '"lastUsedAt" = now()')}; ${set("first0000001", "status = status")}; ${legacyToken("legacy000001")}`,
    );

    expect((await readEntries(database)).length).toBe(before);
  });

  test("tells when a legacy token is to end, and was, but not what else a host changes of it", async () => {
    const length = await readValue<number>(database.db, "SELECT count(*)::int FROM midctl_log");
    await database.db.transaction((tx) =>
      tx.script(
        `${legacyToken("ending000001")}; ${setToken("ending000001", `"lastUsedAt" = now(), name = 'x'`)};
        ${setToken("ending000001", `"expiresAt" = '2099-01-01'`)}; ${setToken("ending000001", `"expiresAt" = '2098-01-01', "revokedAt" = now()`)}`,
      ),
    );

    const entries = `SELECT json_agg(json_build_array(action, entry::json ->> 'token', entry::json -> 'details') ORDER BY "index") FROM midctl_log WHERE "index" >= $1::int`;
    expect(await readValue(database.db, entries, [length])).toEqual([
      ["token.update", "ending000001", { name: "x", expiresAt: [null, "2099-01-01T00:00:00.000Z"] }],
      [
        "token.revoke",
        "ending000001",
        { name: "x", expiresAt: ["2099-01-01T00:00:00.000Z", "2098-01-01T00:00:00.000Z"] },
      ],
    ]);
  });

  test("holds no hash and no secret", async () => {
    await run(
      database,
      `${identity("svc")}; ${issue("first0000001", "svc")}; ${set("first0000001", "status = 'active'")}; ${legacyToken("legacy000001")};
      ${setToken("legacy000001", '"revokedAt" = now()')}; ${setIdentity("svc", "status = 'revoked'")}`,
    );

    const [, ...entries] = await readLeaves(database);
    expect(entries).toHaveLength(6);
    for (const { entry } of entries) expect(entry).not.toMatch(/[0-9a-f]{32}/i);
  });

  test("refuses every change while it has no head", async () => {
    const bare = await factory.createBare();
    try {
      await migrate(bare.db, { bare: true });

      const refused = await run(bare, identity("svc")).catch((error: unknown) => readSqlState(error));

      expect(refused).toBe("MC003");
      expect(await readValue(bare.db, "SELECT count(*)::int FROM machine_identity")).toBe(0);
    } finally {
      await bare.dispose();
    }
  });

  test("does not begin anywhere but at nothing", async () => {
    const bare = await factory.createBare();
    try {
      await migrate(bare.db, { bare: true });

      const refused = await run(bare, "INSERT INTO midctl_log_head (size) VALUES (7)").catch(
        (error: unknown) => readSqlState(error),
      );

      expect(refused).toBe("MC003");
    } finally {
      await bare.dispose();
    }
  });

  test("reads backslashes as before when a session reads them otherwise", async () => {
    await run(database, `SET LOCAL standard_conforming_strings = off; ${identity("svc")}`);

    await expectSound(database);
  });
});

describe.each(postgresDatabases())("the log under load on $name", (factory) => {
  test("stays gapless with eight writers, each of whose third changes fails", async () => {
    const database = await factory.create();
    const writers = Array.from({ length: 8 }, () => openPostgres({ url: database.url ?? "" }, { max: 1 }));
    try {
      await Promise.all(
        writers.map(async (db, writer) => {
          for (let n = 0; n < 24; n += 1) {
            const slug = `w${writer}-${n}`;
            const id = `w${writer}n${n}`.padEnd(12, "x");
            const fails = n % 3 === 2 ? `; ${set(id, "status = 'superseded'")}` : "";
            await run({ db }, `${identity(slug)}; ${issue(id, slug)}${fails}`).catch((error: unknown) => {
              if (readSqlState(error) !== "MC001") throw error;
            });
          }
        }),
      );

      await expectSound(database);
      const entries = await readEntries(database);
      expect(entries.length).toBe(1 + 8 * 16 * 2);
      for (const [n, { action, slug }] of entries.entries()) {
        // What one transaction did stands together.
        if (action === "credential.issue")
          expect(entries[n - 1]).toMatchObject({ action: "identity.create", slug });
      }
    } finally {
      for (const writer of writers) await writer.close();
      await database.dispose();
    }
  });
});
