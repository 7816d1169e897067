import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { revoke as revokeInHost } from "../../src/index.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { awaitLetGo } from "../../src/operations/let-go.ts";
import { CHANGE_CHANNEL } from "../../src/repository/verifier.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import {
  insertLegacy,
  issueActive,
  LEASE_MS,
  openVerifier,
  pause,
  revoke,
  until,
  untilCached,
} from "./scene.ts";

describe.each(databases())("verifiers on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await create();
    db = database.db;
  });
  afterAll(() => database.dispose());

  test("give good answers again without asking the database", async () => {
    const token = await issueActive(db, "asked-often");
    const verifier = await openVerifier(database.direct, token);
    const before = verifier.counters.lookups;

    const decision = await verifier.authenticate(token);

    expect(decision).toMatchObject({ ok: true, actor: { slug: "asked-often" } });
    expect(verifier.counters.lookups).toBe(before);
    await verifier.close();
  });

  test.each(["pause", "revoke"] as const)("have let go when %s returns", async (verb) => {
    const token = await issueActive(db, `ends-by-${verb}`);
    const verifiers = await Promise.all([1, 2].map(() => openVerifier(database.direct, token)));

    const { letGo } = await (verb === "pause" ? pause : revoke)(db, `ends-by-${verb}`);

    expect(letGo).toMatchObject({ verifiers: 2, acknowledged: 2, expired: 0 });
    for (const verifier of verifiers) {
      expect(await verifier.authenticate(token)).toMatchObject({ ok: false });
      await verifier.close();
    }
  });

  test("let go of descendants when an ancestor is paused", async () => {
    await issueActive(db, "ancestor");
    await issueActive(db, "between", { parent: "ancestor" });
    const token = await issueActive(db, "descendant", { parent: "between" });
    const verifier = await openVerifier(database.direct, token);

    await pause(db, "ancestor");

    expect(await verifier.authenticate(token)).toEqual({ ok: false, code: "identity_paused" });
    await verifier.close();
  });

  test("are waited for also by whoever comes second and changes nothing", async () => {
    const token = await issueActive(db, "paused-twice");
    const verifier = await openVerifier(database.direct, token);
    await pause(db, "paused-twice");

    const second = await pause(db, "paused-twice");

    expect(second).toMatchObject({ changed: false, letGo: { verifiers: 1, acknowledged: 1 } });
    await verifier.close();
  });

  test("are waited for by a host after its own transaction", async () => {
    const token = await issueActive(db, "ended-by-host");
    const verifier = await openVerifier(database.direct, token);

    const revoked = await db.transaction((tx) => revokeInHost(tx, { ref: "ended-by-host", actor: "host" }));
    const letGo = await revoked.letGo(db);

    expect(letGo).toMatchObject({ verifiers: 1, acknowledged: 1, expired: 0 });
    expect(await verifier.authenticate(token)).toEqual({ ok: false, code: "identity_revoked" });
    await verifier.close();
  });

  test("hear of hand-written SQL too", async () => {
    const token = await issueActive(db, "ended-by-hand");
    const verifier = await openVerifier(database.direct, token);

    await db.query(`UPDATE machine_identity SET status = 'paused' WHERE slug = 'ended-by-hand'`);
    await awaitLetGo(db);

    expect(await verifier.authenticate(token)).toEqual({ ok: false, code: "identity_paused" });
    await verifier.close();
  });

  test.each([
    [
      "revoked",
      `UPDATE agent_token SET "revokedAt" = now() AT TIME ZONE 'UTC' WHERE "publicId" = $1`,
      "revoked",
    ],
    ["ended sooner", `UPDATE agent_token SET "expiresAt" = '2020-01-01' WHERE "publicId" = $1`, "expired"],
    ["deleted", `DELETE FROM agent_token WHERE "publicId" = $1`, "unknown"],
  ])("hear of a legacy token that its host has %s", async (_what, sql, code) => {
    const publicId = `legacy${code.padEnd(6, "x").slice(0, 6)}`;
    const token = await insertLegacy(db, publicId);
    const verifier = await openVerifier(database.direct, token);

    await db.query(sql, [publicId]);
    await until(async () => !(await verifier.authenticate(token)).ok);

    expect(await verifier.authenticate(token)).toEqual({ ok: false, code });
    await verifier.close();
  });

  test("see new labels, owner and name of an identity", async () => {
    const token = await issueActive(db, "renamed");
    const verifier = await openVerifier(database.direct, token);

    await db.query(`UPDATE machine_identity SET "displayName" = 'New name' WHERE slug = 'renamed'`);
    await awaitLetGo(db);

    expect(await verifier.authenticate(token)).toMatchObject({ actor: { displayName: "New name" } });
    await verifier.close();
  });

  test("that died are waited for as long as their lease, and once", async () => {
    await issueActive(db, "outlived");
    await issueActive(db, "outlived-too");
    await db.query(
      `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'dead', ${LEASE_MS}, 0)`,
    );

    const first = await pause(db, "outlived");
    const second = await pause(db, "outlived-too");

    expect(first.letGo).toMatchObject({ verifiers: 1, acknowledged: 0, expired: 1 });
    expect(first.letGo?.ms).toBeGreaterThanOrEqual(LEASE_MS);
    expect(second.letGo).toMatchObject({ verifiers: 0 });
  });

  test("bury each other, so that nobody has to wait for the dead", async () => {
    const token = await issueActive(db, "gravedigger");
    await db.query(
      `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'dead', ${LEASE_MS}, 0)`,
    );
    const verifier = await openVerifier(database.direct, token);

    await until(async () => (await db.query(`SELECT FROM midctl_verifier WHERE name = 'dead'`)).length === 0);

    await verifier.close();
  });

  test("that were taken for dead begin anew, with nothing in their cache", async () => {
    const token = await issueActive(db, "risen");
    const verifier = await openVerifier(database.direct, token);

    await db.query("DELETE FROM midctl_verifier");
    await until(() => verifier.counters.entries === 0);
    await untilCached(verifier, token);

    expect(await db.query("SELECT FROM midctl_verifier")).toHaveLength(1);
    await verifier.close();
  });

  test("leave no lease behind when they are closed", async () => {
    const token = await issueActive(db, "closed");
    const verifier = await openVerifier(database.direct, token);

    await verifier.close();

    expect(await db.query("SELECT FROM midctl_verifier")).toEqual([]);
    expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
  });

  test("acknowledge what was told while their lease was being granted, though nothing is told after it", async () => {
    const token = await issueActive(db, "told-early");
    const early: Database = {
      concurrent: db.concurrent,
      query: (text, params) => db.query(text, params),
      transaction: (work) => db.transaction(work),
      close: () => db.close(),
      listen: (channels, ears) =>
        database.direct.listen(channels, {
          ...ears,
          heard: (channel, payload) => {
            // The change comes after the lease's row is written, and before the verifier knows of it.
            if (channel !== CHANGE_CHANNEL && payload === "0") ears.heard(CHANGE_CHANNEL, "999999 nobody");
            ears.heard(channel, payload);
          },
        }),
    };

    const verifier = await openVerifier(early, token);
    await until(
      async () => (await db.query(`SELECT FROM midctl_verifier WHERE "letGo" = 999999`)).length === 1,
    );

    await verifier.close();
  });

  test("without a cache hold no lease", async () => {
    const token = await issueActive(db, "uncached");
    const verifier = createAuthenticator({ db, cache: false });

    await verifier.authenticate(token);
    await verifier.authenticate(token);

    expect(verifier.counters).toMatchObject({ cached: 0, lookups: 2 });
    expect(await db.query("SELECT FROM midctl_verifier")).toEqual([]);
  });

  test("check the scope of each request, cached or not", async () => {
    const token = await issueActive(db, "scoped", { scopes: ["cards:*"] });
    const verifier = await openVerifier(database.direct, token);

    expect(await verifier.authenticate(token, { scope: "cards:read" })).toMatchObject({ ok: true });
    expect(await verifier.authenticate(token, { scope: "boards:read" })).toEqual({
      ok: false,
      code: "scope_missing",
    });
    await verifier.close();
  });
});

test.each([[99], [60_001], [Number.NaN]])(
  "a lease of %d ms is refused: the database would not take it",
  (leaseMs) => {
    const db = {} as Database;

    expect(() => createAuthenticator({ db, cache: { leaseMs } })).toThrow(/out of bounds/);
  },
);
