import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { viewSweep } from "../../src/cli/views/sweep.ts";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { protectEnvironment } from "../../src/operations/db-protect.ts";
import { type SweepOptions, sweep } from "../../src/operations/sweep.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { OPERATOR, withoutGuards } from "../support/trust.ts";

const MONTH = 30 * 86_400;
let database: TestDatabase;
let db: Database;
let count: number;

afterEach(() => database.dispose());

async function open(create: () => Promise<TestDatabase>): Promise<void> {
  database = await create();
  db = database.db;
  count = 0;
}

function run(options: Partial<SweepOptions> = {}, dryRun = false) {
  return sweep(db, { ...OPERATOR, dryRun }, { revokeIdleAfter: null, ...options });
}

/** An identity with an idle life of a day. */
async function identity(slug: string): Promise<void> {
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "idleTtl")
     VALUES (lpad($1::text, 12, '0'), $2, $2, 'service', 'you', 86400)`,
    [String(++count), slug],
  );
}

/** A pending credential of its own for an identity; its public id. */
async function pending(slug: string): Promise<string> {
  const publicId = String(++count).padStart(12, "0");
  await db.transaction(async (tx) => {
    await tx.query(
      `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", "tokenHash", "activationDeadline")
       VALUES ($1::text, (SELECT id FROM machine_identity WHERE slug = $2), lpad($1::text, 64, '0'), midctl_now() + interval '1 day')`,
      [publicId, slug],
    );
    await tx.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
       SELECT c."publicId", c.name, 'mid_test', c."tokenHash", c."machineIdentityId" FROM machine_identity_credential c WHERE c."publicId" = $1`,
      [publicId],
    );
  });
  return publicId;
}

/** Moves what is written of a row into the past: nobody waits for a clock in a test. */
async function age(table: string, columns: readonly string[], by: string, where: string): Promise<void> {
  const set = columns.map((column) => `"${column}" = "${column}" - interval '${by}'`).join(", ");
  await withoutGuards(db, () => db.query(`UPDATE ${table} SET ${set} WHERE ${where}`), [table]);
}
const idle = (where: string) => age("machine_identity", ["createdAt"], "2 days", where);
const overdue = (where: string) =>
  age("machine_identity_credential", ["issuedAt", "activationDeadline"], "2 days", where);

const statuses = async (table = "machine_identity"): Promise<string[]> =>
  (await db.query<{ status: string }>(`SELECT status FROM ${table} ORDER BY id`)).map(({ status }) => status);
const entries = async (action: string) =>
  db.query<{ slug: string; idle: boolean | null; actor: string }>(
    `SELECT entry::jsonb ->> 'slug' AS slug, (entry::jsonb #>> '{details,idle}')::boolean AS idle, actor
       FROM midctl_log WHERE action = $1 ORDER BY "index"`,
    [action],
  );

describe.each(databases())("a sweep on $name", ({ create }) => {
  beforeEach(() => open(create));

  test("where nothing is due counts nothing and writes nothing", async () => {
    await identity("fresh");
    await pending("fresh");
    const [before] = await db.query("SELECT size FROM midctl_log_head");

    expect(await run({ revokeIdleAfter: MONTH })).toEqual({
      abandoned: 0,
      paused: 0,
      revoked: 0,
      heldBack: 0,
      sealed: 0,
      expired: { identities: 0, credentials: 0, approvals: 0 },
      expiredWithin: 86_400,
    });
    expect(await db.query("SELECT size FROM midctl_log_head")).toEqual([before]);
  });

  test("abandons pending credentials past their deadline, those alone, with an entry for each", async () => {
    await identity("bot");
    await identity("other");
    const lost = await pending("bot");
    await pending("other");
    await overdue(`"publicId" = '${lost}'`);

    expect(await run()).toMatchObject({ abandoned: 1, paused: 0 });

    expect(await statuses("machine_identity_credential")).toEqual(["abandoned", "pending"]);
    expect(await entries("credential.abandon")).toEqual([{ slug: "bot", idle: null, actor: "alice" }]);
    const ended = await db.query(`SELECT "publicId" FROM agent_token WHERE "revokedAt" IS NOT NULL`);
    expect(ended).toEqual([{ publicId: lost }]);
  });

  test("pauses identities idle past their idle life, those alone, with an entry that says why", async () => {
    await identity("idle");
    await identity("busy");
    await identity("used");
    await idle(`slug IN ('idle', 'used')`);
    await db.query(`UPDATE machine_identity SET "lastUsedAt" = midctl_now() WHERE slug = 'used'`);

    expect(await run()).toMatchObject({ abandoned: 0, paused: 1 });

    expect(await statuses()).toEqual(["paused", "active", "active"]);
    expect(await entries("identity.pause")).toEqual([{ slug: "idle", idle: true, actor: "alice" }]);
  });

  test("repeated changes nothing", async () => {
    await identity("idle");
    await idle("true");
    await pending("idle");
    await overdue("true");
    await run();

    expect(await run()).toMatchObject({ abandoned: 0, paused: 0 });
    expect(await entries("identity.pause")).toHaveLength(1);
  });

  test("goes on over more than one transaction, and tells of each that stands", async () => {
    for (let bot = 0; bot < 201; bot++) await identity(`bot-${bot}`);
    await idle("true");
    let stored = 0;

    expect(await run({ onStored: () => stored++ })).toMatchObject({ paused: 201 });
    expect(stored).toBe(2);
    expect(await entries("identity.pause")).toHaveLength(201);
  });

  test("that fails leaves what it had stored", async () => {
    for (let bot = 0; bot < 201; bot++) await identity(`bot-${bot}`);
    await idle("true");
    const stop = (): never => {
      throw new Error("the power went");
    };

    await expect(run({ onStored: stop })).rejects.toThrow("the power went");
    expect((await statuses()).filter((status) => status === "paused")).toHaveLength(200);
    expect(await run()).toMatchObject({ paused: 1 });
  });

  test("on a dry run counts what is due and stores none of it", async () => {
    for (let bot = 0; bot < 201; bot++) await identity(`bot-${bot}`);
    await idle("true");
    await pending("bot-1");
    await overdue("true");

    expect(await run({}, true)).toMatchObject({ abandoned: 1, paused: 201 });
    expect(new Set(await statuses())).toEqual(new Set(["active"]));
    expect(await entries("identity.pause")).toEqual([]);
  });

  test("revokes what has been paused for idleness for long, where it was told to, with its credentials", async () => {
    await identity("forsaken");
    await pending("forsaken");
    await idle("true");
    await run();
    await age("machine_identity", ["createdAt", "pausedAt"], "31 days", "true");
    await identity("just-paused");
    await idle(`slug = 'just-paused'`);

    expect(await run()).toMatchObject({ paused: 1, revoked: 0 });
    expect(await run({ revokeIdleAfter: MONTH }, true)).toMatchObject({ revoked: 1 });
    expect(await run({ revokeIdleAfter: MONTH })).toMatchObject({ revoked: 1, heldBack: 0 });

    expect(await statuses()).toEqual(["revoked", "paused"]);
    expect(await statuses("machine_identity_credential")).toEqual(["revoked"]);
    expect(await entries("identity.revoke")).toHaveLength(1);
  });

  test("never revokes what somebody paused, though it would be idle by now", async () => {
    await identity("held");
    await db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'held'");
    await age("machine_identity", ["pausedAt"], "31 days", "true");
    await age("machine_identity", ["createdAt"], "60 days", "true");

    expect(await run({ revokeIdleAfter: MONTH })).toMatchObject({ revoked: 0, heldBack: 0 });
    expect(await statuses()).toEqual(["paused"]);
  });

  test("counts what expired within a day, and nothing that ended before", async () => {
    await identity("yesterday");
    await identity("long-ago");
    await db.query(`UPDATE machine_identity SET "expiresAt" = midctl_now() + interval '1 hour'`);
    await age("machine_identity", ["expiresAt"], "2 hours", `slug = 'yesterday'`);
    await age("machine_identity", ["expiresAt"], "3 days", `slug = 'long-ago'`);

    expect((await run()).expired).toEqual({ identities: 1, credentials: 0, approvals: 0 });
  });
});

describe.each(databases())("a sweep of a protected environment on $name", ({ create }) => {
  beforeEach(() => open(create));

  test("abandons and pauses without an approval, and leaves what is due for revocation with a count", async () => {
    await identity("forsaken");
    await idle("true");
    await run();
    await age("machine_identity", ["createdAt", "pausedAt"], "31 days", "true");
    await identity("idle");
    await pending("idle");
    await idle(`slug = 'idle'`);
    await overdue("true");
    await protectEnvironment(db, OPERATOR, []);

    const done = await run({ revokeIdleAfter: MONTH });

    expect(done).toMatchObject({ abandoned: 1, paused: 1, revoked: 0, heldBack: 1 });
    expect(viewSweep({ ...done, checkpoint: null })).toContainEqual({
      kind: "notice",
      text: expect.stringMatching(/^1 identity was due for revocation and left paused: .* needs an approval/),
    });
    expect(await statuses()).toEqual(["paused", "paused"]);
  });
});

describe.each(postgresDatabases())("sweeps at once on $name", ({ create }) => {
  beforeEach(() => open(create));

  test("pass over what somebody holds, without waiting, and leave it to the next", async () => {
    for (const slug of ["held", "free"]) await identity(slug);
    for (const slug of ["held", "free"]) await pending(slug);
    await idle("true");
    await overdue("true");
    const holder = openPostgres({ url: database.url ?? "" }, { max: 1 });
    await holder.query("BEGIN");
    await holder.query("SELECT FROM machine_identity WHERE slug = 'held' FOR NO KEY UPDATE");

    expect(await run()).toMatchObject({ abandoned: 1, paused: 1 });
    await holder.query("COMMIT");
    await holder.close();

    expect(await run()).toMatchObject({ abandoned: 1, paused: 1 });
    expect(await statuses("machine_identity_credential")).toEqual(["abandoned", "abandoned"]);
  });

  test("store everything once between them", async () => {
    for (let bot = 0; bot < 450; bot++) await identity(`bot-${bot}`);
    await idle("true");
    const hosts = [1, 2, 3, 4].map(() => openPostgres({ url: database.url ?? "" }, { max: 1 }));

    const done = await Promise.all(hosts.map((host) => sweep(host, OPERATOR, { revokeIdleAfter: null })));
    await Promise.all(hosts.map((host) => host.close()));

    expect(done.reduce((sum, { paused }) => sum + paused, 0)).toBe(450);
    expect(await entries("identity.pause")).toHaveLength(450);
  });
});
