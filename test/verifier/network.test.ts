import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { openProxy, type TestProxy } from "../support/proxy.ts";
import { issueActive, LEASE_MS, openVerifier, revoke, until, untilCached } from "./scene.ts";

const [factory] = postgresDatabases();
const [server] = inject("servers");

let database: TestDatabase;
/** The operator's way to the database, which nothing disturbs. */
let db: Database;
beforeAll(async () => {
  if (factory === undefined) throw new Error("no server");
  database = await factory.create();
  db = database.db;
});
afterAll(() => database.dispose());

/** A way to the same database through a network of the test's own. */
async function openWay(): Promise<{ proxy: TestProxy; way: Database; close(): Promise<void> }> {
  if (server === undefined) throw new Error("no server");
  const proxy = await openProxy(server);
  const name = new URL(database.url ?? "").pathname.slice(1);
  const way = openPostgres(
    { url: `postgres://${server.user}@127.0.0.1:${proxy.port}/${name}?sslmode=disable` },
    { patience: 500 },
  );
  return {
    proxy,
    way,
    async close() {
      await way.close();
      await proxy.close();
    },
  };
}

describe("a verifier whose connection is cut", () => {
  test("forgets at once what it cached, and goes on by a new one", async () => {
    const token = await issueActive(db, "cut-off");
    const { proxy, way, close } = await openWay();
    const verifier = await openVerifier(way, token, 60_000);

    proxy.cut();
    await until(() => verifier.counters.entries === 0);
    await untilCached(verifier, token);

    expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
    await verifier.close();
    await close();
  });

  test("takes back the lease that it lost with it, so that nobody waits for that", async () => {
    const token = await issueActive(db, "reconnected");
    const { proxy, way, close } = await openWay();
    const verifier = await openVerifier(way, token, 60_000);
    const leases = () => db.query<{ id: string }>("SELECT id FROM midctl_verifier");
    const [lost] = await leases();

    proxy.cut();
    await until(async () => (await leases()).every(({ id }) => id !== lost?.id));
    await untilCached(verifier, token);

    expect(await leases()).toHaveLength(1);
    await verifier.close();
    await close();
  });
});

describe("a verifier that the network has swallowed", () => {
  test("accepts nothing any more once a revocation has returned, which takes its lease and no more", async () => {
    const token = await issueActive(db, "swallowed");
    const { proxy, way, close } = await openWay();
    const verifier = createAuthenticator({ db: way, cache: { leaseMs: LEASE_MS }, patience: 300 });
    await untilCached(verifier, token);

    proxy.stall();
    const { letGo } = await revoke(db, "swallowed");
    const decision = await verifier.authenticate(token);

    expect(letGo).toMatchObject({ verifiers: 1, acknowledged: 0, expired: 1 });
    expect(letGo?.ms).toBeLessThan(4 * LEASE_MS);
    expect(decision).toEqual({ ok: false, code: "unavailable" });
    await close();
    await verifier.close();
  });
});

describe("a verifier whose session hears nothing, as through a pooler that swallows LISTEN", () => {
  test("caches nothing, holds no lease, and decides by the database", async () => {
    const token = await issueActive(db, "deaf");
    let closed: (() => void) | undefined;
    const gaveUp = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const deaf: Database = {
      concurrent: db.concurrent,
      query: (text, params) => db.query(text, params),
      transaction: (work) => db.transaction(work),
      close: () => db.close(),
      listen: async (channels, ears) => {
        const listener = await database.direct.listen(channels, { ...ears, heard: () => undefined });
        return {
          query: (text, params) => listener.query(text, params),
          close: () => {
            listener.close();
            closed?.();
          },
        };
      },
    };
    const verifier = createAuthenticator({ db: deaf, cache: { leaseMs: 100 } });

    await verifier.authenticate(token);
    await gaveUp;
    await verifier.authenticate(token);
    await verifier.authenticate(token);

    expect(verifier.counters).toMatchObject({ accepted: 3, cached: 0, lookups: 3 });
    expect(await db.query("SELECT FROM midctl_verifier")).toEqual([]);
    await verifier.close();
  });
});

describe("a database that is gone", () => {
  test("makes every answer unavailable, never unknown and never accepted", async () => {
    const token = await issueActive(db, "database-gone");
    const { way, close } = await openWay();
    const verifier = await openVerifier(way, token);

    await close();

    expect(await verifier.authenticate(token)).toEqual({ ok: false, code: "unavailable" });
    expect(await verifier.authenticate("kanagent_whatever")).toEqual({ ok: false, code: "unavailable" });
    await verifier.close();
  });
});
