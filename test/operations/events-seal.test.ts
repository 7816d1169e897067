import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { canonicalText } from "../../src/domain/canonical.ts";
import { hashLeaf } from "../../src/domain/merkle.ts";
import { TreeBuilder } from "../../src/domain/tree-builder.ts";
import { recordAgentEvents } from "../../src/operations/agent-events.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { sealEvents } from "../../src/operations/events-seal.ts";
import { sweep } from "../../src/operations/sweep.ts";
import { sealBatch } from "../../src/repository/seal.ts";
import { insert, issue, identity as makeIdentity, set } from "../guards/scene.ts";
import { databases, postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { migrateUpTo } from "../support/migrations.ts";
import { OPERATOR, withoutGuards } from "../support/trust.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

interface Entry {
  readonly actor: string;
  readonly details: {
    readonly batch: number;
    readonly count: number;
    readonly root: string;
    readonly from: string;
    readonly until: string;
  };
}

describe.each(databases())("sealing agent events on $name", (factory) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await factory.create();
  });
  afterEach(() => database.dispose());

  test("is one entry for all that wait, with the root over what they say", async () => {
    const ids = await record("card.move", "card.close", "card.open");

    expect(await sealEvents(database.db)).toBe(3);

    const [entry, ...more] = await readSeals();
    expect(more).toEqual([]);
    expect(entry?.details).toMatchObject({
      batch: 1,
      count: 3,
      root: (await rootOf(ids)).toString("base64"),
    });
  });

  test("has nothing to say where nothing waits", async () => {
    await record("card.move");
    await sealEvents(database.db);

    expect(await sealEvents(database.db)).toBe(0);

    expect(await readSeals()).toHaveLength(1);
  });

  test("waits until one of them has waited for so long", async () => {
    await record("card.move");

    expect(await sealBatch(database.db, 3_600_000)).toEqual({ taken: 0, sealed: 0 });
    expect(await sealBatch(database.db, 0)).toEqual({ taken: 1, sealed: 1 });
  });

  test("numbers the batches as their entries follow", async () => {
    for (const action of ["a.a", "b.b", "c.c"]) {
      await record(action);
      await sealEvents(database.db);
    }

    expect((await readSeals()).map(({ details }) => details.batch)).toEqual([1, 2, 3]);
  });

  test("of more than ten thousand takes several batches", async () => {
    await database.db.query(
      `INSERT INTO agent_audit_event ("publicId", action) SELECT lpad(n::text, 12, '0'), 'card.move' FROM generate_series(1, 10003) n`,
    );

    expect(await sealEvents(database.db)).toBe(10_003);

    expect((await readSeals()).map(({ details }) => details.count)).toEqual([10_000, 3]);
  });

  test("happens in the caller's transaction, or not at all", async () => {
    await record("card.move");

    await database.db
      .transaction(async (tx) => {
        expect(await sealEvents(tx)).toBe(1);
        throw new Error("changed my mind");
      })
      .catch(() => {});

    expect(await readSeals()).toEqual([]);
    expect(await sealEvents(database.db)).toBe(1);
  });

  test("is what taking an event off the queue by hand does", async () => {
    await record("card.move");

    await database.db.query("DELETE FROM midctl_event_unsealed");

    expect(await readSeals()).toHaveLength(1);
  });

  test("passes over what was deleted meanwhile, and makes no entry of nothing", async () => {
    await record("card.move");
    await database.db.query("DELETE FROM agent_audit_event");

    expect(await sealBatch(database.db, 0)).toEqual({ taken: 1, sealed: 0 });
    expect(await readSeals()).toEqual([]);
  });

  test("wakes no verifier", async () => {
    const told = async () => (await database.db.query("SELECT told::int FROM midctl_log_head"))[0];
    await record("card.move");
    const before = await told();

    await sealEvents(database.db);

    expect(await told()).toEqual(before);
  });

  test("is part of a sweep, which says so in its name", async () => {
    await record("card.move", "card.close");

    expect(await sweep(database.db, OPERATOR, { revokeIdleAfter: null })).toMatchObject({ sealed: 2 });

    expect((await readSeals()).map(({ actor }) => actor)).toEqual([OPERATOR.actor.name]);
  });

  test("is counted by a sweep's dry run, and not done", async () => {
    await record("card.move", "card.close");

    const done = await sweep(database.db, { ...OPERATOR, dryRun: true }, { revokeIdleAfter: null });

    expect(done).toMatchObject({ sealed: 2 });
    expect(await readSeals()).toEqual([]);
  });

  test("reaches the events of before the upgrade", async () => {
    const old = await factory.createBare();
    await migrateUpTo(old.db, "0017");
    await old.db.query(
      `INSERT INTO agent_audit_event ("publicId", action) VALUES ('before000001', 'card.move')`,
    );

    await migrate(old.db);

    expect(await sealEvents(old.db)).toBe(1);
    await old.dispose();
  });

  test("takes a host's events with it, whose token and workspace may go", async () => {
    const host = await factory.createBare();
    await host.db.transaction((tx) => tx.script(KAN));
    await migrate(host.db);
    await sealEvents(host.db);

    await host.db.query(`DELETE FROM agent_token WHERE "publicId" = 'legacyopen01'`);
    await host.db.query(`DELETE FROM workspace WHERE slug = 'two'`);

    expect(
      await host.db.query(
        `SELECT "publicId" AS id, token, workspace FROM midctl_event_seal ORDER BY position`,
      ),
    ).toEqual([
      { id: "legacyevent1", token: "legacyopen01", workspace: "workspace001" },
      { id: "legacyevent2", token: null, workspace: "workspace001" },
      { id: "legacyevent3", token: "legacyother1", workspace: "workspace002" },
    ]);
    await host.dispose();
  });

  test("is missed by doctor where an event has waited for longer than a minute, and not before", async () => {
    const found = async () =>
      (await diagnose(database.db, Date.now)).findings.filter(({ check }) => check === "agent events");
    await record("card.move");
    expect(await found()).toEqual([]);

    await withoutGuards(
      database.db,
      (owner) => owner.query("UPDATE midctl_event_unsealed SET at = at - interval '61 seconds'"),
      ["midctl_event_unsealed"],
    );

    expect(await found()).toMatchObject([
      { severity: "warning", message: expect.stringMatching(/^1 agent event has waited/) },
    ]);
    await sealEvents(database.db);
    expect(await found()).toEqual([]);
  });

  /** Events of one active credential's token, in one statement; their public ids. */
  async function record(...actions: string[]): Promise<string[]> {
    await database.db.transaction(async (tx) => {
      const [made] = await tx.query("SELECT FROM machine_identity");
      if (made !== undefined) return;
      await tx.script(
        `${makeIdentity("svc")}; ${issue("active000001", "svc")}; ${set("active000001", "status = 'active'")}`,
      );
    });
    const events = actions.map((action) => ({
      token: "mc_active000001",
      action,
      metadata: { said: 'a "quoted"\n\tword, \u007f and é' },
    }));
    const ids = await recordAgentEvents(database.db, events);
    return ids.map((id) => id.slice("ev_".length));
  }

  async function readSeals(): Promise<Entry[]> {
    return database.db.query<Entry>(
      `SELECT actor, entry::jsonb -> 'details' AS details FROM midctl_log WHERE action = 'events.seal' ORDER BY "index"`,
    );
  }

  /** By another path than the database's. */
  async function rootOf(ids: readonly string[]): Promise<Buffer> {
    const rows = await database.db.query<Record<string, string | null> & { id: string }>(
      `SELECT e."publicId" AS id, e.action, e."entityType", e."entityId", e.metadata,
              to_char(e."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, t."publicId" AS token, i."publicId" AS identity, NULL AS workspace
         FROM agent_audit_event e JOIN agent_token t ON t.id = e."agentTokenId" JOIN machine_identity i ON i.id = e."machineIdentityId"`,
    );
    const tree = new TreeBuilder();
    for (const id of ids) {
      const row = rows.find((each) => each.id === id);
      tree.add(hashLeaf(canonicalText({ v: 1, ...row })));
    }
    return Buffer.from(tree.root());
  }
});

describe.each(postgresDatabases())("sealing agent events at once on $name", (factory) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await factory.create();
  });
  afterEach(() => database.dispose());

  const event = (publicId: string) =>
    insert("agent_audit_event", { publicId: `'${publicId}'`, action: "'x'" });

  test("misses no event that commits after a later one was sealed", async () => {
    await database.db.transaction(async (slow) => {
      await slow.query(event("slow00000001"));
      await runSql(database.directUrl ?? "", event("quick0000001"));
      expect(await sealBatch(database.direct, 0)).toEqual({ taken: 1, sealed: 1 });
    });

    expect(await sealBatch(database.db, 0)).toEqual({ taken: 1, sealed: 1 });
  });

  test("is left to the one that is at it", async () => {
    await database.db.query(event("event0000001"));

    await database.db.transaction(async (first) => {
      await sealBatch(first, 0);
      await runSql(database.directUrl ?? "", event("event0000002"));
      expect(await sealBatch(database.direct, 0)).toEqual({ taken: 0, sealed: 0 });
    });

    expect(await sealBatch(database.db, 0)).toEqual({ taken: 1, sealed: 1 });
  });

  test("holds up no host that writes", async () => {
    await database.db.query(event("event0000001"));

    await database.db.transaction(async (sealing) => {
      await sealBatch(sealing, 0);
      await sealing.query("SET CONSTRAINTS ALL IMMEDIATE");
      await runSql(database.directUrl ?? "", event("event0000002"));
    });

    expect(await sealBatch(database.db, 0)).toEqual({ taken: 1, sealed: 1 });
  });
});
