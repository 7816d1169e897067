import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Database } from "../../src/db/database.ts";
import type { Request } from "../../src/operations/change.ts";
import { createIdentity } from "../../src/operations/identity-create.ts";
import { listIdentities } from "../../src/operations/list.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { EVERYTHING } from "../support/lists.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: null };

const PROD_AND_RED = [
  { key: "env", value: "prod" },
  { key: "team", value: "red" },
];

async function create(
  db: Database,
  slug: string,
  more: { labels?: Record<string, string>; parent?: string; expiresIn?: number } = {},
) {
  const spec = {
    slug,
    kind: "service" as const,
    provider: null,
    threadId: null,
    owner: "ops",
    displayName: null,
    labels: more.labels ?? null,
    parent: more.parent ?? null,
    workspace: null,
    expiresIn: more.expiresIn ?? null,
    idleTtl: null,
  };
  await createIdentity(db, ALICE, spec, { ifNotExists: false });
}

/** Every slug of a list, page after page of two. */
async function readAll(
  db: Database,
  filter: Parameters<typeof listIdentities>[1],
  descending: boolean,
  sort: Parameters<typeof listIdentities>[2] = "slug",
) {
  const slugs: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof listIdentities>> = await listIdentities(db, filter, sort, {
      limit: 2,
      cursor,
      descending,
    });
    slugs.push(...page.identities.map(({ slug }) => slug));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return slugs;
}

describe.each(databases())("a filtered list on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    for (const [index, name] of ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"].entries()) {
      const labels = { env: index === 2 ? "test" : "prod", team: index === 4 ? "blue" : "red" };
      await create(database.db, name, { labels });
    }
  });
  afterAll(() => database?.dispose());

  test.each([
    ["upward", false, ["ant", "bee", "dog", "fox", "gnu", "hen"]],
    ["downward", true, ["hen", "gnu", "fox", "dog", "bee", "ant"]],
  ])("pages %s through what has both labels, each once and in order", async (_, descending, expected) => {
    const slugs = await readAll(database.db, { ...EVERYTHING, labels: PROD_AND_RED }, descending);

    expect(slugs).toEqual(expected);
  });

  test("finds what ends soon and still matters: not what is revoked already", async () => {
    await create(database.db, "soon", { expiresIn: 86_400 });
    await create(database.db, "later", { expiresIn: 30 * 86_400 });
    await create(database.db, "gone", { expiresIn: 86_400 });
    await database.db.query("UPDATE machine_identity SET status = 'revoked' WHERE slug = 'gone'");

    expect(await readAll(database.db, { ...EVERYTHING, expiringWithin: 7 * 86_400 }, false)).toEqual([
      "soon",
    ]);
  });

  test("finds what has expired by itself and by its parent", async () => {
    await create(database.db, "mayfly", { expiresIn: 0.3 });
    await create(database.db, "mayfly-child", { parent: "mayfly" });

    await vi.waitFor(async () => {
      const slugs = await readAll(database.db, { ...EVERYTHING, status: ["expired"] }, false);
      expect(slugs).toEqual(["mayfly", "mayfly-child"]);
    });
  });

  test.each(["slug", "created", "expires"] as const)("goes on by its own cursors, by %s", async (sort) => {
    const slugs = await readAll(database.db, EVERYTHING, false, sort);

    expect(slugs.length).toBeGreaterThan(8);
    expect(new Set(slugs).size).toBe(slugs.length);
  });

  test.each([
    ["slug", "Ant", ""],
    ["slug", "ant", "1"],
    ["created", "first", ""],
    ["created", "1", "1"],
    ["created", "99999999999999999999", ""],
    ["expires", "2026-02-31 00:00:00", "1"],
    ["expires", "2026-01-31 00:00:00", "x"],
    ["expires", "now", "1"],
  ] as const)("a cursor by %s of %s and %s, which no list wrote, is bad usage", async (sort, ...parts) => {
    const cursor = Buffer.from(JSON.stringify([`identities.${sort}.asc`, ...parts])).toString("base64url");

    await expect(
      listIdentities(database.db, EVERYTHING, sort, { limit: 2, cursor, descending: false }),
    ).rejects.toMatchObject({ code: "usage" });
  });
});
