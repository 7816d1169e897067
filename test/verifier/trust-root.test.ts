import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createToken } from "../../src/domain/token.ts";
import { watchTrust } from "../../src/operations/approval/trust-dir.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { rotateCredential } from "../../src/operations/credential-rotate.ts";
import { grantRoles } from "../../src/operations/db-grant.ts";
import { previewIssuance } from "../../src/operations/issuance.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { castVote, draftCover, openTrustDesk, type TrustDesk } from "../support/trust.ts";
import { ALICE, issueActive, LEASE_MS, until, untilCached } from "./scene.ts";
import { coverOne, draftOne, OWNERS, requestCarriedOut, UNAPPROVED } from "./trust-scene.ts";

const UNAVAILABLE = { ok: false, code: "unavailable" };

describe.each(databases())("a trust root that changes, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await create();
    db = database.direct;
  });
  afterAll(() => database?.dispose());

  /** A verifier that follows a directory by a clock of the test's, with one token's answer in its cache. */
  async function open(run: (stage: Stage) => Promise<void>): Promise<void> {
    const desk = openTrustDesk(OWNERS);
    let clock = 0;
    const verifier = createAuthenticator({
      db,
      cache: { leaseMs: LEASE_MS },
      trust: watchTrust(desk.dir, { now: () => clock }),
    });
    try {
      const { token } = await coverOne(db, desk);
      await untilCached(verifier, token);
      await run({ desk, verifier, token, pass: (ms) => (clock += ms) });
    } finally {
      await verifier.close();
      desk.dispose();
    }
  }

  interface Stage {
    readonly desk: TrustDesk;
    readonly verifier: ReturnType<typeof createAuthenticator>;
    readonly token: string;
    pass(ms: number): void;
  }

  test("decides nothing by a source that is another at every look, and goes on", async () => {
    const desk = openTrustDesk(OWNERS);
    const { token } = await coverOne(db, desk);
    const real = watchTrust(desk.dir);
    const current = () => ({ ...real.current() }) as ReturnType<typeof real.current>;
    const { authenticate } = createAuthenticator({
      db,
      cache: false,
      trust: { current, fault: null, generation: 0 },
    });

    expect(await authenticate(token)).toEqual(UNAVAILABLE);
    desk.dispose();
  });

  test("a signer who is taken out is believed for a second at most, by the cache too", () =>
    open(async ({ desk, verifier, token, pass }) => {
      desk.write(["alice", "carol"]);

      pass(999);
      const before = await verifier.authenticate(token);
      pass(1);
      const after = await verifier.authenticate(token);

      expect(before).toMatchObject({ ok: true });
      expect(after).toEqual(UNAPPROVED);
    }));

  test("a key that is revoked is believed no more", () =>
    open(async ({ desk, verifier, token, pass }) => {
      desk.write(OWNERS, undefined, ["bob"]);
      pass(1000);

      expect(await verifier.authenticate(token)).toEqual(UNAPPROVED);
    }));

  test("a directory that is not understood stays as it was for 10 seconds; then nothing can be decided", () =>
    open(async ({ desk, verifier, token, pass }) => {
      writeFileSync(join(desk.dir, "policy.json"), "{");

      pass(1000);
      const within = await verifier.authenticate(token);
      pass(9000);
      const beyond = await verifier.authenticate(token);
      const unknown = await verifier.authenticate("kanagent_nobody");
      desk.write(OWNERS);
      pass(1000);
      const mended = await verifier.authenticate(token);

      expect([within, mended]).toMatchObject([{ ok: true }, { ok: true }]);
      expect([beyond, unknown]).toEqual([UNAVAILABLE, UNAVAILABLE]);
    }));

  test("a plan is judged anew under another root, and once", () =>
    open(async ({ desk, verifier, token, pass }) => {
      const { plansVerified } = verifier.counters;
      desk.write(["alice", "bob"]);
      pass(1000);

      await Promise.all([verifier.authenticate(token), verifier.authenticate(token)]);
      await verifier.authenticate(token);

      expect([plansVerified, verifier.counters.plansVerified]).toEqual([1, 2]);
    }));
});

describe.each(databases())("what a verifier keeps of plans, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  let desk: TrustDesk;
  beforeAll(async () => {
    database = await create();
    db = database.direct;
    desk = openTrustDesk(OWNERS);
  });
  afterAll(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  test("a plan is fetched and judged once, for all the tokens that it names and all who ask", async () => {
    const drafts = [await draftOne(db), await draftOne(db), await draftOne(db)];
    await requestCarriedOut(
      db,
      desk,
      drafts.map(({ line }) => line),
    );
    const verifier = createAuthenticator({ db, cache: false, trust: desk.dir });
    const all = drafts.flatMap(({ token }) => [token, token, token]);

    const answers = await Promise.all(all.map((token) => verifier.authenticate(token)));
    for (const token of all) answers.push(await verifier.authenticate(token));

    expect(answers.every(({ ok }) => ok)).toBe(true);
    expect(verifier.counters).toMatchObject({ plansVerified: 1, plans: 1, plansInsufficient: 0 });
  });

  test("a cached answer ends with its plan, though the row lives on", async () => {
    const notAfter = Date.now() + 1_500;
    const { token } = await coverOne(db, desk, { terms: { notAfter: new Date(notAfter).toISOString() } });
    const verifier = createAuthenticator({ db, cache: true, trust: desk.dir });
    await untilCached(verifier, token);

    await until(async () => !(await verifier.authenticate(token)).ok);

    expect(await verifier.authenticate(token)).toEqual(UNAPPROVED);
    // The clock of the database is this machine's here.
    expect(Date.now()).toBeGreaterThanOrEqual(notAfter - 1);
    await verifier.close();
  });

  test("an approval that comes later counts", async () => {
    const { token, written } = await coverOne(db, desk, { approvers: ["mallory"], quorum: 2 });
    const early = createAuthenticator({ db, cache: false, trust: desk.dir });
    const before = await early.authenticate(token);

    await castVote(db, desk, written, "approval", "bob");

    expect(before).toEqual(UNAPPROVED);
    await until(async () => (await early.authenticate(token)).ok);
  });

  test("a successor supersedes at its first approved use, and at none before", async () => {
    const { token: current, written } = await coverOne(db, desk);
    const rotated = written.plan.lines[0]?.identity?.slug ?? "";
    const verifier = createAuthenticator({ db, cache: false, trust: desk.dir });
    await verifier.authenticate(current);
    const secret = createToken("test", randomBytes);
    await rotateCredential(
      db,
      ALICE,
      {
        ...{ identity: rotated, name: "default", scopes: null, expiresIn: 3600, secret, grace: 0 },
        ...{ activateWithin: 600, replacePending: false, expectCurrent: null, compromised: false },
      },
      await previewIssuance(db, rotated, "default"),
    );

    const unapproved = await verifier.authenticate(secret.text);
    const still = await verifier.authenticate(current);
    await requestCarriedOut(db, desk, [await draftCover(db, secret.hash)]);
    const approved = await verifier.authenticate(secret.text);
    const over = await verifier.authenticate(current);

    expect([unapproved, still.ok, approved.ok]).toEqual([UNAPPROVED, true, true]);
    expect(over).toEqual({ ok: false, code: "superseded" });
  });
});

describe("the option", () => {
  test("names what is wrong with a directory, and is never passed over", async () => {
    const desk = openTrustDesk(OWNERS);
    rmSync(join(desk.dir, "policy.json"));
    const db = { query: async () => [], transaction: async () => {}, listen: async () => {} };
    const create = (trust: unknown) => () =>
      createAuthenticator({ db, trust } as unknown as Parameters<typeof createAuthenticator>[0]);

    expect(create(desk.dir)).toThrow(/policy\.json/);
    expect(create("/nowhere/trust")).toThrow(/could not be read/);
    expect(create(undefined)).toThrow(/trust: a directory or a TrustSource/);
    expect(create({})).toThrow(/trust: a directory or a TrustSource/);
    desk.dispose();
  });

  test("takes a source that fails for one that is not to be believed", async () => {
    const db = { query: async () => [], transaction: async () => {}, listen: async () => {} };
    const trust = {
      current: () => {
        throw new Error("no such thing");
      },
    };
    const verifier = createAuthenticator({ db, trust } as unknown as Parameters<
      typeof createAuthenticator
    >[0]);

    expect(await verifier.authenticate("kanagent_any")).toEqual(UNAVAILABLE);
  });
});

test.each(postgresDatabases())("the role of a verifier is enough, on $name", async ({ create }) => {
  const database = await create();
  const desk = openTrustDesk(OWNERS);
  const role = `t_trusting_${randomBytes(4).toString("hex")}`;
  const url = new URL(database.url ?? "");
  url.username = role;
  await database.db.query(`CREATE ROLE ${role} LOGIN`);
  await grantRoles(database.db, ALICE, { name: role, roles: ["verifier"], revoke: false });
  const db = openPostgres({ url: url.href });
  try {
    const { token } = await coverOne(database.db, desk);
    const unnamed = await issueActive(database.db, "unnamed");
    const { authenticate } = createAuthenticator({ db, cache: false, trust: desk.dir });

    expect(await authenticate(token)).toMatchObject({ ok: true });
    expect(await authenticate(unnamed)).toEqual(UNAPPROVED);
  } finally {
    await db.close();
    await database.db.query(`DROP OWNED BY ${role} CASCADE`);
    await database.db.query(`DROP ROLE ${role}`);
    desk.dispose();
    await database.dispose();
  }
});
