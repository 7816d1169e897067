import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { withoutGuards } from "../support/trust.ts";

describe.each(databases())("hygiene, as doctor finds it on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  let count: number;

  beforeEach(async () => {
    database = await create();
    db = database.db;
    count = 0;
  });
  afterEach(() => database.dispose());

  async function identity(slug: string, owner = "you"): Promise<void> {
    await db.query(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner) VALUES (lpad($1::text, 12, '0'), $2, $2, 'service', $3)`,
      [String(++count), slug, owner],
    );
  }
  /** Of the name `ci`, used once: active, and its identity was used too. */
  async function credential(
    slug: string,
    scopes = '["cards:*"]',
    life: string | null = "30 days",
  ): Promise<string> {
    const publicId = String(++count).padStart(12, "0");
    await db.transaction(async (tx) => {
      await tx.query(
        `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", name, "tokenHash", scopes, "activationDeadline", "expiresAt")
         VALUES ($1::text, (SELECT id FROM machine_identity WHERE slug = $2), 'ci', lpad($1::text, 64, '0'), $3, midctl_now() + interval '1 day',
                 midctl_now() + $4::text::interval)`,
        [publicId, slug, scopes, life],
      );
      await tx.query(
        `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes, "machineIdentityId", "expiresAt")
         SELECT c."publicId", c.name, 'mid_test', c."tokenHash", c.scopes, c."machineIdentityId", c."expiresAt"
           FROM machine_identity_credential c WHERE c."publicId" = $1`,
        [publicId],
      );
    });
    await db.query(`UPDATE machine_identity_credential SET status = 'active' WHERE "publicId" = $1`, [
      publicId,
    ]);
    await db.query(`SELECT midctl_note_uses(ARRAY[$1::text])`, [publicId]);
    return `mc_${publicId}`;
  }
  const back = (table: string, columns: readonly string[], days: number, where: string): Promise<void> =>
    withoutGuards(
      db,
      () =>
        db.query(
          `UPDATE ${table} SET ${columns.map((column) => `"${column}" = "${column}" - interval '${days} days'`).join(", ")} WHERE ${where}`,
        ),
      [table],
    );
  const findings = async (): Promise<string[]> =>
    (await diagnose(db, Date.now)).findings
      .filter(({ check }) => check === "hygiene")
      .map(({ severity, message, mend }) => `${severity}: ${message} → ${mend}`);

  test("has nothing to say of what is in use, owned, young and narrow", async () => {
    await identity("bot");
    await credential("bot");

    expect(await findings()).toEqual([]);
  });

  test("names identities that an adoption found no owner for, and no revoked ones", async () => {
    await identity("orphan", "unknown");
    await identity("ended", "unknown");
    await db.query("UPDATE machine_identity SET status = 'revoked' WHERE slug = 'ended'");

    expect(await findings()).toEqual([
      "warning: 1 identity has nobody who answers for it: orphan. → midctl identity update orphan --owner WHO",
    ]);
  });

  test("names current credentials older than a year, and those without an end", async () => {
    await identity("old");
    const old = await credential("old");
    await back("machine_identity_credential", ["issuedAt"], 366, "true");
    await identity("endless");
    const endless = await credential("endless", "[]", null);

    expect(await findings()).toEqual([
      `warning: 1 current credential is older than 365 days: ${old} (old). → midctl credential rotate old --name ci`,
      `warning: 1 current credential has no end: ${endless} (endless). → midctl credential rotate endless --name ci`,
    ]);
  });

  test("names active identities that were never used for thirty days, and no paused ones", async () => {
    for (const slug of ["idle", "held", "used"]) await identity(slug);
    await credential("used");
    await db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'held'");
    await back("machine_identity", ["createdAt"], 31, "true");

    expect(await findings()).toEqual([
      "warning: 1 active identity was made more than 30 days ago and never used: idle. → midctl revoke idle",
    ]);
  });

  test("names tokens in force that were not used for ninety days, legacy ones too", async () => {
    await identity("bot");
    const unused = await credential("bot");
    await db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "createdAt")
       VALUES ('legacy000001', 'old', 'kan', repeat('0a', 32), now() - interval '91 days')`,
    );
    await back("agent_token", ["lastUsedAt"], 91, `"publicId" <> 'legacy000001'`);

    expect(await findings()).toEqual([
      `warning: 2 tokens in force were not used for 90 days: ${unused} (bot), at_legacy000001. → midctl revoke ${unused}; so with each`,
    ]);
  });

  test("names credentials that may do everything, ten of them, and counts the others", async () => {
    for (let bot = 10; bot < 22; bot++) {
      await identity(`bot-${bot}`);
      await credential(`bot-${bot}`, '["*"]');
    }
    await identity("narrow");
    await credential("narrow", '["cards:*", "**"]');

    const [found, ...others] = await findings();

    expect(others).toEqual([]);
    expect(found).toMatch(
      /^warning: 12 credentials in force have the scope \*, and may do everything: mc_\d+ \(bot-10\), .*\(bot-19\), and 2 more\. → midctl credential rotate bot-10 --name ci --scope SCOPE; so with each$/,
    );
  });

  test("says what waits for a sweep", async () => {
    await identity("bot");
    await withoutGuards(db, () =>
      db.query(
        `UPDATE machine_identity SET "idleTtl" = 60, "createdAt" = "createdAt" - interval '1 day' WHERE slug = 'bot'`,
      ),
    );

    expect(await findings()).toEqual([
      expect.stringMatching(/^info: 1 row waits for a sweep.* → midctl sweep/),
    ]);
  });
});
