import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { listCredentials } from "../../src/operations/list.ts";
import { readStatus } from "../../src/operations/status.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { issueActive, openVerifier, revoke } from "./scene.ts";

describe.each(databases())("uses on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await create();
    db = database.db;
  });
  afterAll(() => database.dispose());

  /** Moves the last use of an identity and its token into the past. */
  async function age(slug: string, interval: string): Promise<void> {
    await db.query(
      `UPDATE agent_token t SET "lastUsedAt" = t."lastUsedAt" - interval '${interval}'
         FROM machine_identity i WHERE i.id = t."machineIdentityId" AND i.slug = $1`,
      [slug],
    );
  }

  test("are noted once a minute, however many there are", async () => {
    const token = await issueActive(db, "busy");
    const verifier = createAuthenticator({ db, cache: false });
    const first = await lastUse(db, "busy");

    for (let i = 0; i < 20; i++) await verifier.authenticate(token);
    await verifier.settled();

    expect(await lastUse(db, "busy")).toBe(first);
  });

  test("are noted again after a minute", async () => {
    const token = await issueActive(db, "again");
    await age("again", "61 seconds");
    const before = await lastUse(db, "again");
    const verifier = createAuthenticator({ db, cache: false });

    await verifier.authenticate(token);
    await verifier.settled();

    expect((await lastUse(db, "again")) ?? "").not.toBe(before);
  });

  test("stop an identity from being used once it was idle, cached or not", async () => {
    const token = await issueActive(db, "dozes-off", { idleTtl: 3 });
    const verifier = await openVerifier(database.direct, token);
    await verifier.close();
    await db.query(`SELECT pg_sleep(3.1)`);

    expect(await createAuthenticator({ db, cache: false }).authenticate(token)).toEqual({
      ok: false,
      code: "identity_paused",
    });
  });

  test("that are refused although the secret was right are counted and shown", async () => {
    const token = await issueActive(db, "still-tried");
    await revoke(db, "still-tried");
    const verifier = createAuthenticator({ db, cache: false });

    await Promise.all([1, 2, 3].map(() => verifier.authenticate(token)));
    await verifier.settled();
    await verifier.authenticate(token);
    await verifier.settled();

    const { refusedUses } = await readStatus(db);
    expect(refusedUses.find(({ identity }) => identity === "still-tried")).toMatchObject({
      code: "identity_revoked",
      uses: 4,
    });
  });

  test("with a wrong secret of a known id are nobody's use", async () => {
    const token = await issueActive(db, "guessed-at");
    const verifier = createAuthenticator({ db, cache: false });

    await verifier.authenticate(forge(token));
    await verifier.settled();

    const { refusedUses } = await readStatus(db);
    expect(refusedUses.map(({ identity }) => identity)).not.toContain("guessed-at");
  });

  test("tell which credentials nobody has used", async () => {
    await issueActive(db, "unused");
    await db.query(
      `UPDATE agent_token t SET "lastUsedAt" = t."lastUsedAt" - interval '40 days'
         FROM machine_identity i WHERE i.id = t."machineIdentityId" AND i.slug = 'unused'`,
    );

    const { credentials } = await listCredentials(
      db,
      {
        status: [],
        labels: [],
        owner: null,
        provider: null,
        expiringWithin: null,
        unusedFor: 30 * 86_400,
        identity: null,
      },
      "issued",
      { limit: 10, cursor: null, descending: false },
    );

    expect(credentials.map(({ identity }) => identity)).toEqual(["unused"]);
  });

  test("from several verifiers at once are noted without getting into each other's way", async () => {
    const slugs = ["shared-1", "shared-2", "shared-3", "shared-4"];
    const tokens = await Promise.all(slugs.map((slug) => issueActive(db, slug)));
    for (const slug of slugs) await age(slug, "2 minutes");
    const verifiers = [1, 2, 3].map(() => createAuthenticator({ db, cache: false }));

    await Promise.all(verifiers.flatMap((verifier) => tokens.map((token) => verifier.authenticate(token))));
    await Promise.all(verifiers.map((verifier) => verifier.settled()));

    for (const slug of slugs) {
      expect(Date.parse(`${await lastUse(db, slug)}Z`)).toBeGreaterThan(Date.now() - 60_000);
    }
  });
});

describe("uses of an identity with an idleTtl", () => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    const [factory] = databases();
    if (factory === undefined) throw new Error("no database");
    database = await factory.create();
    db = database.db;
  });
  afterAll(() => database.dispose());

  test("are noted behind answers from the cache too", async () => {
    const token = await issueActive(db, "cached", { idleTtl: 4 });
    const verifier = await openVerifier(database.direct, token);
    const before = await lastUse(db, "cached");

    // A quarter of its idleTtl apart: within a second or so one is due.
    while ((await lastUse(db, "cached")) === before) {
      await verifier.authenticate(token);
      await verifier.settled();
    }

    await verifier.close();
  });

  test("keep an identity awake that is used more often than its idleTtl", async () => {
    const token = await issueActive(db, "awake", { idleTtl: 4 });
    const verifier = await openVerifier(database.direct, token);
    const end = performance.now() + 4500;

    const codes = new Set<string>();
    while (performance.now() < end) {
      const decision = await verifier.authenticate(token);
      if (!decision.ok) codes.add(decision.code);
      await verifier.settled();
    }

    expect([...codes]).toEqual([]);
    await verifier.close();
  });
});

async function lastUse(db: Database, slug: string): Promise<string | null> {
  const [row] = await db.query<{ at: string | null }>(
    `SELECT t."lastUsedAt" AS at FROM agent_token t JOIN machine_identity i ON i.id = t."machineIdentityId" WHERE i.slug = $1`,
    [slug],
  );
  return row?.at ?? null;
}

/** The same id with another secret, and a checksum that fits. */
function forge(token: string): string {
  const [, env, id, rest = ""] = token.split("_");
  const body = `mid_${env}_${id}_${rest.slice(0, 43).split("").reverse().join("")}`;
  let crc = -1;
  for (const character of body) {
    crc ^= character.charCodeAt(0);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  let left = ~crc >>> 0;
  let digits = "";
  for (let i = 0; i < 6; i++) {
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[left % 62] + digits;
    left = Math.floor(left / 62);
  }
  return body + digits;
}
