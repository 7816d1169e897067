import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { Metrics } from "../../src/server/metrics.ts";
import { postgresDatabases, type TestDatabase, urlOf } from "../support/databases.ts";
import { openPooler, PGBOUNCER, type Pooler } from "../support/pooler.ts";
import { issueActive, revoke } from "./scene.ts";

const [factory] = postgresDatabases();
const [server] = inject("servers");
if (factory === undefined || server === undefined) throw new Error("no server");

describe.runIf(PGBOUNCER !== null)("a verifier behind pgbouncer, pooling by transaction", () => {
  let database: TestDatabase;
  /** The operator's way. */
  let db: Database;
  let pooler: Pooler;
  let way: Database;
  beforeAll(async () => {
    database = await factory.create();
    db = database.db;
    // One session for all: the verifier would hear itself in it, and nothing of what others say.
    pooler = await openPooler(server, inject("scratch"), { sessions: 1 });
    way = openPostgres({ url: urlOf(pooler.server, new URL(database.url ?? "").pathname.slice(1)) });
  });
  afterAll(async () => {
    await way.close();
    await pooler.stop();
    await database.dispose();
  });

  test("caches nothing, says so once, and accepts nothing after a revocation, for which nobody waits", async () => {
    const token = await issueActive(db, "pooled");
    const warnings: string[] = [];
    let tell: (() => void) | undefined;
    const warned = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const verifier = createAuthenticator({
      db: way,
      cache: { leaseMs: 100 },
      warn: (text) => {
        warnings.push(text);
        tell?.();
      },
    });

    const first = await verifier.authenticate(token);
    await warned;
    const second = await verifier.authenticate(token);
    const { letGo } = await revoke(db, "pooled");
    const third = await verifier.authenticate(token);

    expect([first.ok, second.ok]).toEqual([true, true]);
    expect(third).toEqual({ ok: false, code: "identity_revoked" });
    expect(letGo).toMatchObject({ verifiers: 0 });
    expect(verifier.counters).toMatchObject({ cached: 0, entries: 0, caching: false });
    expect(warnings).toEqual([expect.stringMatching(/nothing is cached/)]);
    expect(new Metrics().render({ ready: true, counts: null, verifier: verifier.counters })).toContain(
      "\nmidctl_verifier_caching 0\n",
    );
    await verifier.close();
  });

  test("decides for a crowd through one session", async () => {
    const token = await issueActive(db, "pooled-crowd");
    const verifier = createAuthenticator({ db: way, cache: false });

    const decisions = await Promise.all(Array.from({ length: 200 }, () => verifier.authenticate(token)));

    expect(decisions.filter(({ ok }) => ok)).toHaveLength(200);
    await verifier.close();
  });

  test("has nothing to say where the database is its own", async () => {
    const token = await issueActive(db, "direct");
    const warnings: string[] = [];
    const verifier = createAuthenticator({ db: database.direct, warn: (text) => warnings.push(text) });

    while (!verifier.counters.caching) await verifier.authenticate(token);

    expect(warnings).toEqual([]);
    await verifier.close();
  });
});
