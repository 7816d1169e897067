import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { initDatabase } from "../../src/operations/db-init.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { issueApproved, openTrustDesk, type TrustDesk, withoutGuards } from "../support/trust.ts";
import { ALICE, issueActive, issuePending, revoke } from "./scene.ts";
import { coverOne, decideAfresh, decideUnchecked, OWNERS, UNAPPROVED } from "./trust-scene.ts";

describe.each(databases())("under a trust root, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  let desk: TrustDesk;
  beforeAll(async () => {
    database = await create();
    db = database.db;
    desk = openTrustDesk(OWNERS);
    await issueActive(db, "thief");
  });
  afterAll(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  const decide = (token: string) => decideAfresh(db, token, desk);

  describe("a row that the database's owner changed, with the guards off, is unapproved:", () => {
    test.each<[string, readonly string[]]>([
      [
        "its scopes widened",
        [`UPDATE machine_identity_credential SET scopes = '["cards:*"]' WHERE "publicId" = $1`],
      ],
      [
        "moved to another identity",
        ["machine_identity_credential", "agent_token"].map(
          (table) =>
            `UPDATE ${table} SET "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'thief') WHERE "publicId" = $1`,
        ),
      ],
      [
        "its identity under another name",
        [
          `UPDATE machine_identity i SET slug = i.slug || '-2' FROM machine_identity_credential c WHERE c."machineIdentityId" = i.id AND c."publicId" = $1`,
        ],
      ],
      [
        "its identity's name on another identity",
        [
          `UPDATE machine_identity i SET "publicId" = 'thief0000002' FROM machine_identity_credential c WHERE c."machineIdentityId" = i.id AND c."publicId" = $1`,
        ],
      ],
      [
        "issued later than its plan could be carried out",
        [
          `UPDATE machine_identity_credential SET "issuedAt" = "issuedAt" + interval '1 day' WHERE "publicId" = $1`,
        ],
      ],
    ])("%s", async (_, statements) => {
      const { token } = await coverOne(db, desk);
      const before = await decide(token);

      await withoutGuards(db, async () => {
        for (const statement of statements) await db.query(statement, [token.slice(9, 21)]);
      });

      expect(before).toMatchObject({ ok: true });
      expect(await decideUnchecked(db, token)).toMatchObject({ ok: true });
      expect(await decide(token)).toEqual(UNAPPROVED);
    });
  });

  test("an end that was put off is the plan's", async () => {
    const notAfter = new Date(Date.now() + 3_600_000).toISOString();
    const { token } = await coverOne(db, desk, { terms: { notAfter } });

    await withoutGuards(db, () =>
      db.query(`UPDATE machine_identity_credential SET "expiresAt" = NULL WHERE "publicId" = $1`, [
        token.slice(9, 21),
      ]),
    );

    expect(await decide(token)).toMatchObject({ ok: true, expiresAt: notAfter });
  });

  test("what has ended by itself says so, approved or not", async () => {
    const token = await issueActive(db, "ended");
    await revoke(db, "ended");

    expect(await decide(token)).toEqual({ ok: false, code: "identity_revoked" });
    expect(await decide("kanagent_nobody")).toEqual({ ok: false, code: "unknown" });
  });

  test("an unapproved first use activates nothing, and is noted", async () => {
    const token = await issuePending(db, "lurking");
    const authenticator = createAuthenticator({ db, cache: false, trust: desk.dir });

    const decision = await authenticator.authenticate(token);
    await authenticator.settled();

    const rows = await db.query(
      `SELECT c.status, r.code FROM machine_identity_credential c LEFT JOIN midctl_refused_use r USING ("publicId") WHERE c."publicId" = $1`,
      [token.slice(9, 21)],
    );
    expect(decision).toEqual(UNAPPROVED);
    expect(rows).toEqual([{ status: "pending", code: "unapproved" }]);
    expect(authenticator.counters).toMatchObject({ unapproved: 1, refused: 1, plansVerified: 0 });
  });
});

test.each(databases())(
  "in a protected environment a token that its plan issued is good from its first use, on $name",
  async ({ create }) => {
    const database = await create();
    const desk = openTrustDesk(OWNERS);
    try {
      const { db } = database;
      await initDatabase(db, ALICE, { name: "production", live: true, protected: true });
      const { token, written } = await issueApproved(db, desk, "deployer", { scopes: ["deploy:*"] });
      const { authenticate } = createAuthenticator({ db, cache: false, trust: desk.dir });

      const first = await authenticate(token, { scope: "deploy:web" });

      expect(first).toMatchObject({
        ok: true,
        approval: written.plan.id,
        credential: { effectiveStatus: "active" },
        expiresAt: written.plan.lines[0]?.token?.notAfter,
      });
    } finally {
      desk.dispose();
      await database.dispose();
    }
  },
);
