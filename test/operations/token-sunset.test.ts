import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import type { Request } from "../../src/operations/change.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { adoptToken } from "../../src/operations/identity-adopt.ts";
import { createIdentity, type IdentitySpec } from "../../src/operations/identity-create.ts";
import { sunsetTokens } from "../../src/operations/token-sunset.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { createKan, giveIdentity, insertToken } from "./kan-tokens.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "sunset" };
const END = { at: "2098-01-01T00:00:00.000Z" };

const SERVICE: IdentitySpec = {
  slug: "kept",
  kind: "service",
  provider: null,
  threadId: null,
  owner: "platform",
  displayName: null,
  labels: null,
  parent: null,
  workspace: null,
  expiresIn: null,
  idleTtl: null,
};

const legacyFindings = async (db: Database) => {
  const { findings } = await diagnose(db, Date.now);
  return findings.filter(({ check }) => check === "legacy tokens");
};

/** SPEC §5: `token sunset`, and what `doctor` says before and after. */
describe.each(databases())("a sunset of legacy tokens on $name", (factory) => {
  let database: TestDatabase;
  const ends = async (): Promise<Record<string, string | null>> => {
    const rows = await database.db.query<{ publicId: string; end: string | null }>(
      `SELECT "publicId", "expiresAt"::text AS "end" FROM agent_token ORDER BY id`,
    );
    return Object.fromEntries(rows.map(({ publicId, end }) => [publicId, end]));
  };

  beforeAll(async () => {
    database = await createKan(factory);
  });
  afterAll(() => database?.dispose());
  beforeEach(async () => {
    await database.db.query(`DELETE FROM agent_token WHERE "machineIdentityId" IS NULL`);
  });

  test("ends what has no end or a later one, and leaves what ends sooner, has ended, or was adopted", async () => {
    const { db } = database;
    await insertToken(db, "sunsettoken1");
    await insertToken(db, "sunsettoken2", { expiresAt: "'2099-01-01'" });
    await insertToken(db, "sunsettoken3", { expiresAt: "'infinity'" });
    await insertToken(db, "sunsettoken4", { expiresAt: "'2097-01-01'" });
    await insertToken(db, "sunsettoken5", { revokedAt: "now()" });
    await insertToken(db, "sunsettoken6", { expiresAt: "'2020-01-01'" });
    await insertToken(db, "sunsettoken7");
    await adoptToken(db, ALICE, { token: "sunsettoken7", identity: SERVICE, name: null });

    const done = await sunsetTokens(db, ALICE, END);

    expect(done).toEqual({ changed: true, endsAt: END.at, ended: 3, sooner: 1, refused: 0 });
    expect(await ends()).toEqual({
      sunsettoken1: "2098-01-01 00:00:00",
      sunsettoken2: "2098-01-01 00:00:00",
      sunsettoken3: "2098-01-01 00:00:00",
      sunsettoken4: "2097-01-01 00:00:00",
      sunsettoken5: null,
      sunsettoken6: "2020-01-01 00:00:00",
      sunsettoken7: null,
    });
  });

  test("may be repeated, and changes nothing then", async () => {
    await insertToken(database.db, "sunsettoken1");
    await sunsetTokens(database.db, ALICE, END);

    expect(await sunsetTokens(database.db, ALICE, END)).toMatchObject({
      changed: false,
      ended: 0,
      sooner: 1,
    });
  });

  test("is logged for each token, with the end it had and the one it has", async () => {
    await insertToken(database.db, "sunsettoken1", { expiresAt: "'2099-01-01'" });
    await sunsetTokens(database.db, ALICE, END);

    const [last] = await database.db.query(
      `SELECT entry::jsonb ->> 'token' AS token, actor, entry::jsonb -> 'details' AS details FROM midctl_log
        WHERE action = 'token.update' ORDER BY "index" DESC LIMIT 1`,
    );
    expect(last).toEqual({
      token: "sunsettoken1",
      actor: "alice",
      details: { name: "old bot", expiresAt: ["2099-01-01T00:00:00.000Z", END.at] },
    });
  });

  test("counts its seconds by the database's clock", async () => {
    await insertToken(database.db, "sunsettoken1");
    await sunsetTokens(database.db, ALICE, { seconds: 3600 });

    const [row] = await database.db.query(
      `SELECT "expiresAt" - midctl_now() BETWEEN interval '59 minutes' AND interval '60 minutes' AS fits FROM agent_token WHERE "publicId" = 'sunsettoken1'`,
    );
    expect(row).toEqual({ fits: true });
  });

  test("must lie in the future", async () => {
    await insertToken(database.db, "sunsettoken1");

    await expect(sunsetTokens(database.db, ALICE, { at: "2020-01-01T00:00:00.000Z" })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("not in the future"),
    });
    expect(await ends()).toMatchObject({ sunsettoken1: null });
  });

  test("on a dry run counts and leaves everything", async () => {
    await insertToken(database.db, "sunsettoken1");

    expect(await sunsetTokens(database.db, { ...ALICE, dryRun: true }, END)).toMatchObject({ ended: 1 });
    expect(await ends()).toMatchObject({ sunsettoken1: null });
  });

  test("leaves alone, and counts, a token with a host's own identity and no credential", async () => {
    const { db } = database;
    await createIdentity(db, ALICE, { ...SERVICE, slug: "hosts", workspace: "one" }, { ifNotExists: true });
    await insertToken(db, "sunsethosted");
    await giveIdentity(db, "sunsethosted", "hosts");

    expect(await sunsetTokens(db, ALICE, END)).toMatchObject({ ended: 0, refused: 1 });
    expect(await legacyFindings(database.db)).toContainEqual(
      expect.objectContaining({
        severity: "warning",
        message: expect.stringContaining("authenticates nobody"),
      }),
    );
    await adoptToken(db, ALICE, { token: "sunsethosted", identity: "hosts", name: null });
  });
});

describe.each(databases())("doctor on legacy tokens on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createKan(factory);
  });
  afterAll(() => database?.dispose());
  beforeEach(async () => {
    await database.db.query("DELETE FROM agent_token");
  });

  test("says how many are not adopted, which is no fault", async () => {
    await insertToken(database.db, "sunsettoken1");
    await insertToken(database.db, "sunsettoken2", { revokedAt: "now()" });

    expect(await legacyFindings(database.db)).toEqual([
      {
        check: "legacy tokens",
        severity: "info",
        message: "1 legacy token in force is not adopted.",
        mend: "midctl identity adopt --all --plan FILE",
      },
    ]);
  });

  test("says nothing where there is none", async () => {
    expect(await legacyFindings(database.db)).toEqual([]);
  });

  test("warns of those in use that will end within thirty days", async () => {
    const soon = "midctl_now() + interval '29 days'";
    const lately = "midctl_now() - interval '6 days'";
    await insertToken(database.db, "endinginuse1", { expiresAt: soon, lastUsedAt: lately });
    await insertToken(database.db, "endingunused", {
      expiresAt: soon,
      lastUsedAt: "midctl_now() - interval '8 days'",
    });
    await insertToken(database.db, "endinglater1", {
      expiresAt: "midctl_now() + interval '31 days'",
      lastUsedAt: lately,
    });

    expect(await legacyFindings(database.db)).toContainEqual({
      check: "legacy tokens",
      severity: "warning",
      message: "1 legacy token in use will end within 30 days: at_endinginuse1 (old bot).",
      mend: "midctl identity adopt at_endinginuse1 --slug SLUG --owner WHO",
    });
  });

  test("names what the host made after a sunset, and what a host's own change of an end does not count as", async () => {
    const { db } = database;
    await insertToken(db, "beforesunset");
    await sunsetTokens(db, ALICE, END);
    const later = { createdAt: "midctl_now() + interval '1 second'" };
    await insertToken(db, "aftersunset1", later);
    await insertToken(db, "aftersunset2", { ...later, expiresAt: "'2097-01-01'" });
    await db.query(`UPDATE agent_token SET "expiresAt" = '2096-01-01' WHERE "publicId" = 'aftersunset2'`);

    const [first] = await legacyFindings(database.db);

    expect(first).toMatchObject({
      severity: "warning",
      message: `1 legacy token was made after the sunset and lives on beyond ${END.at}: at_aftersunset1 (old bot).`,
      mend: expect.stringContaining(`midctl token sunset --after DATE`),
    });
  });
});
