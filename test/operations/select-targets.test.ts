import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database, Param, Tx } from "../../src/db/database.ts";
import type { ControlStatus, Target } from "../../src/operations/control.ts";
import { selectIssuedBefore, selectTargets } from "../../src/operations/select-targets.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

const EVERYBODY = {
  status: [],
  labels: [],
  owner: null,
  provider: null,
  expiringWithin: null,
  unusedFor: null,
} as const;

const names = (targets: readonly Target[]): string[] =>
  targets.map(({ reference }) => (reference.kind === "identity" ? reference.slug : reference.publicId));

/** Identities `<prefix>-0001` and so on, in one statement. */
async function makeMany(db: Database, prefix: string, count: number): Promise<void> {
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
     SELECT lpad($1::text || n, 12, '0'), $1::text || '-' || lpad(n::text, 4, '0'), 'one of many', 'service', $1::text
       FROM generate_series(1, $2::int) n`,
    [prefix, count],
  );
}

async function makePending(db: Database, publicId: string, slug: string): Promise<string> {
  await db.transaction(async (tx) => {
    await tx.query(
      `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", name, "tokenHash", "activationDeadline")
       SELECT $1::text, id, $1::text, repeat(lpad($1::text, 12, '0'), 5) || '0000', midctl_now() + interval '1 day'
         FROM machine_identity WHERE slug = $2`,
      [publicId, slug],
    );
    await tx.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
       SELECT c."publicId", c.name, 'mid_test', c."tokenHash", c."machineIdentityId" FROM machine_identity_credential c WHERE c."publicId" = $1`,
      [publicId],
    );
  });
  const [row] = await db.query<{ at: string }>(
    `SELECT midctl_instant("issuedAt") AS at FROM machine_identity_credential WHERE "publicId" = $1`,
    [publicId],
  );
  return row?.at ?? "";
}

/** The same database, and how many statements it was asked. */
function counting(db: Database): { readonly tx: Tx; asked(): number } {
  let asked = 0;
  const query = <Row extends object>(text: string, params?: Param[]) => {
    asked++;
    return db.query<Row>(text, params);
  };
  return { tx: { query } as Tx, asked: () => asked };
}

describe.each(databases())("targets of many on $name", ({ create }) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await create();
    await makeMany(database.db, "fleet", 1_500);
    await makeMany(database.db, "kin", 3);
    await database.db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'kin-0002'");
    await database.db.query("UPDATE machine_identity SET status = 'revoked' WHERE slug = 'kin-0003'");
    await database.db.query(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "parentId")
       SELECT 'kin000000004', 'kin-0004', 'child of one who is paused', 'service', 'kin', id FROM machine_identity WHERE slug = 'kin-0002'`,
    );
  });
  afterAll(() => database?.dispose());

  test("that fit are read a page at a time, each once, by slug", async () => {
    const { tx, asked } = counting(database.db);

    const targets = await selectTargets(tx, { filter: { ...EVERYBODY, owner: "fleet" } }, "paused");

    expect(new Set(names(targets)).size).toBe(1_500);
    expect(names(targets)).toEqual(names(targets).toSorted());
    expect(asked()).toBe(2);
  });

  test("that are named are read a page at a time, in the order given", async () => {
    const refs = Array.from({ length: 1_500 }, (_, n) => `fleet-${String(1_500 - n).padStart(4, "0")}`);
    const { tx, asked } = counting(database.db);

    const targets = await selectTargets(tx, { refs }, "paused");

    expect(names(targets)).toEqual(refs);
    expect(asked()).toBe(2);
  });

  test.each([
    ["paused", ["kin-0001", "kin-0004"]],
    ["active", ["kin-0002"]],
    ["revoked", ["kin-0001", "kin-0002", "kin-0004"]],
  ] as const)("are those who could become %s, whatever their ancestors are", async (status, expected) => {
    const targets = await selectTargets(database.db, { filter: { ...EVERYBODY, owner: "kin" } }, status);

    expect(names(targets)).toEqual(expected);
  });

  test("that were issued before a moment are not those of that very moment", async () => {
    await makeMany(database.db, "aged", 1);
    const at = await makePending(database.db, "a9ed00000001", "aged-0001");
    const later = new Date(Date.parse(at) + 1).toISOString();
    const issuedBefore = async (moment: string) =>
      names((await selectIssuedBefore(database.db, { refs: ["aged-0001"] }, { at: moment })).targets);

    expect(await issuedBefore(at)).toEqual([]);
    expect(await issuedBefore(later)).toEqual(["a9ed00000001"]);
  });
});

describe("a selection without end", () => {
  /** A database in which another identity always fits, a page at a time. */
  const endless = {
    query: async () =>
      Array.from({ length: 1_001 }, (_, n) => ({
        ...{ slug: `x-${n}`, owner: "x", status: "active", version: 1 },
        ...{ _key: `x-${n}`, _tie: "" },
      })),
  } as unknown as Tx;

  test.each(["paused", "active", "revoked"] satisfies ControlStatus[])(
    "is refused at 100,001, before anything is %s",
    async (status) => {
      await expect(selectTargets(endless, { filter: EVERYBODY }, status)).rejects.toMatchObject({
        code: "usage",
        message: expect.stringContaining("more than 100000"),
      });
    },
  );
});
