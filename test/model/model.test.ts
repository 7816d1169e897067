import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installClock } from "../guards/scene.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { sequence } from "./commands.ts";
import { Run } from "./run.ts";

/**
 * Random sequences of plain SQL, by operators, hosts and time, against the model of world.ts: the database takes what
 * the model takes, refuses what it refuses, and everything is called the same afterwards. Seconds are whole, so that
 * ends, deadlines and graces are hit to the millisecond; the clock is the test's, so that nobody sleeps.
 */
const EVERYTHING: ReadonlySet<string> = new Set([
  ...["active", "grace", "pending", "paused", "identity_paused", "superseded", "expired"],
  ...["abandoned", "revoked", "identity_revoked"],
  ...["create", "issue", "rotate", "replace", "credential", "identity", "use"].flatMap(outcomes),
  ...["shorten credential", "shorten identity", "revoke token"].flatMap(outcomes),
]);

function outcomes(kind: string): string[] {
  return [`${kind} taken`, `${kind} refused`];
}

describe.each(databases())("random sequences on $name", (factory) => {
  let database: TestDatabase;
  /** What happened in all sequences together. */
  const seen = new Set<string>();

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction((tx) => installClock(tx));
  });
  afterAll(() => database?.dispose());

  test("go as the model says, command by command", async () => {
    const asTheModelSays = fc.asyncProperty(sequence, async (commands) => {
      const run = new Run(database, seen);
      const idleTtl = commands.length % 2 === 0 ? 8 : null;
      await run.take({ do: "create", parent: null, life: null, idleTtl });
      for (const each of commands) await run.take(each);
    });

    // Ever the same ones, which are known to go everywhere, then new ones.
    await fc.assert(asTheModelSays, { numRuns: 30, seed: 1 });
    await fc.assert(asTheModelSays, { numRuns: 10 });
  }, 300_000);

  test("came through every state, and had each kind of change taken and refused", () => {
    expect([...EVERYTHING].filter((each) => !seen.has(each))).toEqual([]);
  });

  test("leave at most one current and one pending of a name, whenever one looks", async () => {
    const crowded = await database.db.query(
      `SELECT c."machineIdentityId", c.name, m.at
         FROM machine_identity_credential c,
              LATERAL (SELECT "issuedAt" AS at FROM machine_identity_credential UNION SELECT "activatedAt" FROM machine_identity_credential) m
        WHERE m.at IS NOT NULL
          AND c."issuedAt" <= m.at AND coalesce(LEAST(c."revokedAt", c."abandonedAt", c."supersededAt", c."expiresAt") > m.at, true)
        GROUP BY 1, 2, 3
       HAVING count(*) FILTER (WHERE c."activatedAt" <= m.at) > 1
           OR count(*) FILTER (WHERE coalesce(c."activatedAt" > m.at, true) AND c."activationDeadline" > m.at) > 1`,
    );

    expect(crowded).toEqual([]);
  });

  test("leave a log without gaps, true to its hashes, with an entry for every credential", async () => {
    const leaves = await database.db.query<{ index: string; entry: string; leafHash: Uint8Array }>(
      `SELECT "index", entry, "leafHash" FROM midctl_log ORDER BY "index"`,
    );
    const issued = new Set<string>();
    for (const [n, { index, entry, leafHash }] of leaves.entries()) {
      const { action, credential } = JSON.parse(entry) as { action: string; credential: string };
      if (action === "credential.issue") issued.add(credential);
      expect(Number(index)).toBe(n);
      expect(Buffer.from(leafHash).equals(createHash("sha256").update("\0").update(entry).digest())).toBe(
        true,
      );
    }
    const [row] = await database.db.query<{ size: string; ids: string[] }>(
      `SELECT size::text, (SELECT json_agg("publicId") FROM machine_identity_credential) AS ids FROM midctl_log_head`,
    );
    expect(Number(row?.size)).toBe(leaves.length);
    expect(issued).toEqual(new Set(row?.ids));
  });

  test("leave every credential with its one token", async () => {
    const odd = await database.db.query(
      `SELECT c."publicId" FROM machine_identity_credential c
        WHERE (SELECT count(*) FROM agent_token t
                WHERE t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = c."machineIdentityId") <> 1`,
    );

    expect(odd).toEqual([]);
  });
});
