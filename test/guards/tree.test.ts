import { hash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import {
  consistencyRanges,
  inclusionRanges,
  isConsistent,
  isIncluded,
  readRoots,
} from "../../src/domain/merkle.ts";
import { readNodesOf } from "../../src/domain/tile.ts";
import { readTree } from "../../src/repository/tree.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { migrateUpTo } from "../support/migrations.ts";
import { identity } from "./scene.ts";

describe.each(databases())("the tree over the log on $name", (factory) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await factory.create();
  });
  afterEach(() => database.dispose());

  test("grows entry by entry, and its root is that of the entries at every size", async () => {
    const { db } = database;
    await expectTree(db);
    for (let n = 0; n < 20; n += 1) {
      await create(db, n, 1);
      await expectTree(db);
    }
  });

  test("grows by any number of entries at once", async () => {
    const { db } = database;
    for (const [at, count] of [2, 1, 5, 16, 3, 70, 4].entries()) {
      await create(db, at * 1000, count);
      await expectTree(db);
    }
  });

  test("proves every entry in every size that the log ever had", async () => {
    const { db } = database;
    await growTo(db, 22);
    const entries = await readEntries(db);
    const read = readNodesOf(await readTree(db));
    for (let size = 1; size <= entries.length; size += 1) {
      const root = rootOf(entries.slice(0, size));
      for (let index = 0; index < size; index += 1) {
        const path = await readRoots(inclusionRanges(index, size), read);
        const leaf = leafOf(entries[index] ?? "");
        expect(isIncluded({ index, size, leaf, root, path }), `${index} of ${size}`).toBe(true);
      }
    }
  });

  test("proves that every size begins with every smaller one", async () => {
    const { db } = database;
    await growTo(db, 22);
    const entries = await readEntries(db);
    const read = readNodesOf(await readTree(db));
    for (let second = 1; second <= entries.length; second += 1) {
      const secondRoot = rootOf(entries.slice(0, second));
      for (let first = 1; first <= second; first += 1) {
        const firstRoot = rootOf(entries.slice(0, first));
        const path = await readRoots(consistencyRanges(first, second), read);
        expect(isConsistent({ first, firstRoot, second, secondRoot, path }), `${first} of ${second}`).toBe(
          true,
        );
      }
    }
  });

  test("is not grown by a change that is rolled back", async () => {
    const { db } = database;
    await create(db, 0, 6);
    await db
      .transaction(async (tx) => {
        await tx.script(identity("gone"));
        await tx.script("SET CONSTRAINTS ALL IMMEDIATE");
        throw new Error("changed my mind");
      })
      .catch(() => {});

    await expectTree(db);
  });

  test.each([0, 1, 4, 5, 16, 21, 70])("is made for a log of %i more entries that had none", async (count) => {
    const old = await factory.createBare();
    await migrateUpTo(old.db, "0016");
    if (count > 0) await create(old.db, 0, count);

    await migrate(old.db);

    await expectTree(old.db);
    await create(old.db, 1000, 3);
    await expectTree(old.db);
    await old.dispose();
  });
});

describe("ten thousand entries and more in one transaction", () => {
  test.each(databases().slice(0, 1))("are the same tree on $name", async (factory) => {
    const database = await factory.create();

    await create(database.db, 0, 10_007);

    await expectTree(database.db);
    await database.dispose();
  });
});

async function create(db: Database, from: number, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, n) => `svc-${from + n}`);
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
     SELECT lpad((${from} + n)::text, 12, '0'), slug, 'service', slug, 'team'
       FROM unnest($1::text[]) WITH ORDINALITY u(slug, n)`,
    [`{${names.join(",")}}`],
  );
}

/** By appends of one to six entries. */
async function growTo(db: Database, size: number): Promise<void> {
  for (let at = await countEntries(db); at < size; ) {
    const count = Math.min(1 + (at % 6), size - at);
    await create(db, at, count);
    at += count;
  }
}

async function countEntries(db: Database): Promise<number> {
  return (await readEntries(db)).length;
}

async function readEntries(db: Database): Promise<string[]> {
  const rows = await db.query<{ entry: string }>(`SELECT entry FROM midctl_log ORDER BY "index"`);
  return rows.map(({ entry }) => entry);
}

/** By another path than the one under test: level by level over all entries. */
async function expectTree(db: Database): Promise<void> {
  const entries = await readEntries(db);
  const tree = await readTree(db);
  const [root] = await readRoots([{ begin: 0, end: tree.size }], readNodesOf(tree));
  expect(tree.size).toBe(entries.length);
  expect(root?.toString("hex")).toBe(rootOf(entries).toString("hex"));
}

function rootOf(entries: readonly string[]): Buffer {
  let level = entries.map(leafOf);
  while (level.length > 1) {
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, n) => {
      const [left = Buffer.alloc(0), right] = level.slice(n * 2, n * 2 + 2);
      return right === undefined ? left : sha(Buffer.concat([Buffer.of(1), left, right]));
    });
  }
  return level[0] ?? sha(Buffer.alloc(0));
}

function leafOf(entry: string): Buffer {
  return sha(Buffer.concat([Buffer.of(0), Buffer.from(entry)]));
}

function sha(bytes: Buffer): Buffer {
  return hash("sha256", bytes, "buffer");
}
