import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { viewAuditVerify } from "../../src/cli/views/audit-verify.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type PrunedSeal, PrunedSeals } from "../../src/domain/pruned-seals.ts";
import { listAudit } from "../../src/operations/audit-list.ts";
import { verifyLog } from "../../src/operations/audit-verify.ts";
import { sealEvents } from "../../src/operations/events-seal.ts";
import { credential, identity, insert, setToken } from "../guards/scene.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { withoutGuards } from "../support/trust.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const ALL = { checkpoints: [], verified: 0, onProgress: () => {} };

/** In a host's database with three events of legacy tokens: two of workspace one, and one of workspace two. */
describe.each(databases())("verifying agent events on $name", (factory) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await factory.createBare();
    await database.db.transaction((tx) => tx.script(KAN));
    await migrate(database.db);
    await sealEvents(database.db);
  });
  afterEach(() => database.dispose());

  test("counts those that are sealed, and those that wait to be", async () => {
    await write("waiting00001");

    expect(await verify()).toMatchObject({ findings: [], events: { sealed: 3, pruned: 0, unsealed: 1 } });
  });

  test("does not mind that a host deletes the token behind an event", async () => {
    await database.db.query(`DELETE FROM agent_token WHERE "publicId" = 'legacyopen01'`);

    expect(await verify()).toMatchObject({ findings: [], events: { sealed: 3, pruned: 0 } });
  });

  test("does not mind that an event is attributed to whoever adopted its token", async () => {
    await database.db.transaction((tx) =>
      tx.script(
        `${identity("svc", { workspaceId: "1" })};
         ${credential("legacyopen01", "svc", { adopted: "true", status: "'active'", activationDeadline: "NULL", expiresAt: "NULL", scopes: `'["cards:read"]'`, tokenHash: "repeat('1a', 32)" })};
         ${setToken("legacyopen01", `"machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'svc')`)};
         UPDATE agent_audit_event SET "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'svc') WHERE "publicId" = 'legacyevent1'`,
      ),
    );

    expect(await verify()).toMatchObject({ findings: [], events: { sealed: 3 } });
  });

  test("counts those that went with a workspace as pruned", async () => {
    await database.db.query(`DELETE FROM workspace WHERE slug = 'one'`);

    expect(await verify()).toMatchObject({ findings: [], events: { sealed: 3, pruned: 2, unsealed: 0 } });
  });

  test("finds one that was deleted before its workspace was", async () => {
    await database.db.query(`DELETE FROM agent_audit_event WHERE "publicId" = 'legacyevent1'`);
    await database.db.query(`DELETE FROM workspace WHERE slug = 'one'`);

    expect(await verify()).toMatchObject({
      findings: [
        {
          kind: "event_removed",
          event: null,
          says: expect.stringContaining("of the workspace workspace001"),
        },
      ],
      events: { pruned: 1 },
    });
  });

  test("finds one that a host deletes by itself", async () => {
    await database.db.query(`DELETE FROM agent_audit_event WHERE "publicId" = 'legacyevent3'`);

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_removed", event: "ev_legacyevent3", from: null, to: null }],
      found: 1,
    });
  });

  test("finds one that was moved to another workspace", async () => {
    await database.db.query(
      `UPDATE agent_audit_event SET "workspaceId" = 2 WHERE "publicId" = 'legacyevent2'`,
    );

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_altered", event: "ev_legacyevent2" }],
    });
  });

  test("hashes what went with a workspace as whoever verifies does, over blocks of batches", async () => {
    await withoutGuards(
      database.db,
      (owner) =>
        owner.query(`UPDATE midctl_event_seal SET batch = 4096 * 3 + 1 WHERE "publicId" = 'legacyevent2'`),
      ["midctl_event_seal"],
    );
    const seals = await database.db.query<PrunedSeal>(
      `SELECT batch::float8 AS batch, "publicId" AS id, token, identity, leaf FROM midctl_event_seal
        WHERE workspace = 'workspace001' ORDER BY batch, position`,
    );
    const hash = new PrunedSeals();
    for (const seal of seals) hash.add(seal);

    await database.db.query(`DELETE FROM workspace WHERE slug = 'one'`);

    const { events } = await listAudit(database.db, { limit: 1, action: "workspace.delete" });
    expect(events[0]?.details).toMatchObject({ sealed: 2, seals: hash.digest() });
  });

  test("finds one that was taken out and said to have gone with a workspace that is gone", async () => {
    await write("waiting00001");
    await database.db.query(`DELETE FROM workspace WHERE slug = 'one'`);
    await withoutGuards(
      database.db,
      async (owner) => {
        await owner.query(`DELETE FROM agent_audit_event WHERE "publicId" = 'legacyevent3'`);
        await owner.query(
          `UPDATE midctl_event_seal SET workspace = 'workspace001' WHERE "publicId" = 'legacyevent3'`,
        );
      },
      ["agent_audit_event", "midctl_event_seal"],
    );

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_removed", says: expect.stringContaining("workspace001") }],
    });
  });

  test("finds that the seal of one that went with a workspace names another token", async () => {
    await database.db.query(`DELETE FROM workspace WHERE slug = 'one'`);
    await withoutGuards(
      database.db,
      (owner) =>
        owner.query(`UPDATE midctl_event_seal SET token = 'scapegoat001' WHERE "publicId" = 'legacyevent1'`),
      ["midctl_event_seal"],
    );

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_altered", event: null, says: expect.stringContaining("workspace001") }],
      found: 1,
    });
  });

  test("believes no deletion of a workspace that is there", async () => {
    await database.db.query("ALTER TABLE midctl_log_queue DISABLE TRIGGER midctl_10_guard");
    await database.db.query(
      `INSERT INTO midctl_log_queue (first, at, action, details) VALUES (true, midctl_now(), 'workspace.delete', '{"workspace": "workspace001", "events": 9}')`,
    );
    await database.db.query(`DELETE FROM agent_audit_event WHERE "publicId" = 'legacyevent1'`);

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_removed", event: "ev_legacyevent1" }],
      events: { pruned: 0 },
    });
  });

  test("finds one that was pinned on an identity that never adopted its token", async () => {
    await database.db.transaction((tx) => tx.script(identity("innocent", { workspaceId: "1" })));
    await withoutGuards(
      database.db,
      (owner) =>
        owner.query(
          `UPDATE agent_audit_event SET "agentTokenId" = NULL, "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'innocent') WHERE "publicId" = 'legacyevent1'`,
        ),
      ["agent_audit_event"],
    );

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_altered", event: "ev_legacyevent1" }],
    });
  });

  test("finds one that was written while the triggers were off", async () => {
    await withoutGuards(database.db, () => write("forged000001"), ["agent_audit_event"]);

    expect(await verify()).toMatchObject({
      findings: [{ kind: "event_inserted", event: "ev_forged000001" }],
      events: { unsealed: 0 },
    });
  });

  test("tells a hundred of many, and how many there are", async () => {
    await withoutGuards(
      database.db,
      (owner) =>
        owner.query(
          `INSERT INTO agent_audit_event ("publicId", "workspaceId", action) SELECT lpad(n::text, 12, '0'), 1, 'x' FROM generate_series(1, 130) n`,
        ),
      ["agent_audit_event"],
    );

    const { findings, found } = await verify();

    expect([findings.length, found]).toEqual([100, 130]);
  });

  test("reads page by page, however many events a batch has and however many batches there are", async () => {
    await database.db.query(
      `INSERT INTO agent_audit_event ("publicId", "workspaceId", action) SELECT lpad(n::text, 12, '0'), 1, 'x' FROM generate_series(1, 777) n`,
    );
    await sealEvents(database.db);
    // Each taken off the queue by itself is a batch by itself.
    await database.db.query(
      `INSERT INTO agent_audit_event ("publicId", "workspaceId", action) SELECT lpad((1000 + n)::text, 12, '0'), 2, 'x' FROM generate_series(1, 510) n`,
    );
    await database.db.transaction((tx) =>
      tx.script(
        `DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM midctl_event_unsealed ORDER BY id LOOP DELETE FROM midctl_event_unsealed WHERE id = r.id; END LOOP; END $$`,
      ),
    );
    await database.db.query(
      `UPDATE agent_audit_event SET action = 'y' WHERE "publicId" IN ('000000000700', '000000001505')`,
    );

    const { findings, events } = await verify();

    expect(findings.map(({ event }) => event)).toEqual(["ev_000000000700", "ev_000000001505"]);
    expect(events).toEqual({ sealed: 3 + 777 + 510, pruned: 0, unsealed: 0 });
  });

  test("reads the batches of new entries alone where only those are asked for", async () => {
    const { size, root, origin } = await verify();
    await write("later0000001");
    await sealEvents(database.db);

    const checkpoint = { origin, size, root, extensions: [] };

    expect(
      await verifyLog(database.db, { ...ALL, checkpoints: [checkpoint], verified: Number.POSITIVE_INFINITY }),
    ).toMatchObject({
      from: size,
      findings: [],
      events: { sealed: 1 },
    });
  });

  test("leaves the seals out of the audit, unless they are asked for", async () => {
    const actions = async (action?: string) =>
      (await listAudit(database.db, { limit: 50, ...(action === undefined ? {} : { action }) })).events.map(
        (event) => event.action,
      );

    expect(await actions()).not.toContain("events.seal");
    expect(await actions("events.seal")).toEqual(["events.seal"]);
  });

  function write(publicId: string): Promise<unknown> {
    return database.db.query(
      insert("agent_audit_event", { publicId: `'${publicId}'`, workspaceId: "1", action: "'card.move'" }),
    );
  }

  function verify() {
    return verifyLog(database.db, ALL);
  }
});

test.each(postgresDatabases().slice(0, 1))(
  "what a host's row-level security hides from whoever verifies is not called removed",
  async ({ createBare }) => {
    const database = await createBare();
    await database.db.transaction((tx) => tx.script(KAN));
    await migrate(database.db);
    await sealEvents(database.db);
    const undo = new Error("undone");

    await database.db
      .transaction(async (tx) => {
        await tx.script(`CREATE ROLE midctl_test_reader; GRANT USAGE ON SCHEMA public TO midctl_test_reader;
          GRANT SELECT ON ALL TABLES IN SCHEMA public TO midctl_test_reader; SET LOCAL ROLE midctl_test_reader`);
        const hidden = await verifyLog(tx, ALL);
        await tx.script(`RESET ROLE; CREATE POLICY seen ON agent_audit_event FOR SELECT TO midctl_test_reader USING (true);
          CREATE POLICY seen ON agent_token FOR SELECT TO midctl_test_reader USING (true);
          GRANT EXECUTE ON FUNCTION midctl_workspace_public_id(bigint) TO midctl_test_reader; SET LOCAL ROLE midctl_test_reader`);
        const shown = await verifyLog(tx, ALL);
        await tx.script(`RESET ROLE; CREATE POLICY partly ON agent_token AS RESTRICTIVE FOR SELECT TO midctl_test_reader USING (id > 1);
          SET LOCAL ROLE midctl_test_reader`);
        const partly = await verifyLog(tx, ALL);

        expect([hidden, shown, partly].map(({ findings }) => findings)).toEqual([[], [], []]);
        expect([hidden, shown, partly].map(({ events }) => events?.sealed ?? null)).toEqual([null, 3, null]);
        throw undo;
      })
      .catch((error: unknown) => {
        if (error !== undo) throw error;
      });
    await database.dispose();
  },
);

test("the view says how many events were read, and what became of them", () => {
  const document = {
    ok: true,
    origin: "midctl/x",
    size: 9,
    root: "",
    from: 0,
    against: "itself",
    exported: null,
    compared: null,
    checkpoints: 0,
    anchored: null,
    findings: [],
    found: 0,
  } as const;
  const notice = (events: Parameters<typeof viewAuditVerify>[0]["events"]) =>
    viewAuditVerify({ ...document, events }).find((block) => block.kind === "notice");

  expect(notice({ sealed: 7, pruned: 2, unsealed: 1 })).toMatchObject({
    text: "7 sealed agent events read, 2 of them gone with their workspaces, 1 more waits to be sealed.",
  });
  expect(notice(null)).toMatchObject({ text: expect.stringContaining("was not read") });
});
