import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Block } from "../../src/cli/view.ts";
import { viewIdentityShow } from "../../src/cli/views/identity-show.ts";
import { showIdentity } from "../../src/operations/identity-show.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

describe.each(databases())("the lineage of an identity on $name", ({ create }) => {
  let database: TestDatabase;
  let count = 0;

  beforeAll(async () => {
    database = await create();
  });
  afterAll(() => database.dispose());

  async function spawn(slug: string, parent: string | null = null): Promise<void> {
    await database.db.query(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "parentId")
       VALUES (lpad($1::text, 12, '0'), $2, $2, 'service', 'you', (SELECT id FROM machine_identity WHERE slug = $3))`,
      [String(++count), slug, parent],
    );
  }
  async function chain(name: string, length: number): Promise<void> {
    for (let depth = 0; depth < length; depth++)
      await spawn(`${name}-${depth}`, depth === 0 ? null : `${name}-${depth - 1}`);
  }
  async function lines(slug: string): Promise<string[]> {
    const blocks = viewIdentityShow({
      ...(await showIdentity(database.db, slug)),
      credentials: [],
      events: [],
    });
    const tree = blocks.findIndex((block) => block.kind === "table" && block.columns[0]?.title === "LINEAGE");
    return blocks.slice(tree).flatMap((block: Block) => {
      if (block.kind === "line") return [String(block.cells[0])];
      if (block.kind !== "table" || block.columns[0]?.title !== "LINEAGE") return [];
      return block.rows.map(([slug, state]) => `${slug} ${(state as { text: string }).text}`);
    });
  }

  test("is a tree: ancestors above, root first, and descendants below, with what each amounts to", async () => {
    await spawn("root");
    await spawn("middle", "root");
    await spawn("beside", "root");
    await spawn("self", "middle");
    await spawn("kid-b", "self");
    await spawn("kid-a", "self");
    await spawn("grandkid", "kid-a");
    await database.db.query("UPDATE machine_identity SET status = 'paused' WHERE slug = 'middle'");
    await database.db.query("UPDATE machine_identity SET status = 'revoked' WHERE slug = 'kid-b'");

    expect(await lines("self")).toEqual([
      "root active",
      "  middle paused",
      "    self identity_paused",
      "      kid-a identity_paused",
      "        grandkid identity_paused",
      "      kid-b revoked",
    ]);
    expect(await showIdentity(database.db, "self")).toMatchObject({
      ancestors: [
        { slug: "middle", effectiveStatus: "paused" },
        { slug: "root", effectiveStatus: "active" },
      ],
      children: [
        { slug: "kid-a", effectiveStatus: "identity_paused" },
        { slug: "kid-b", effectiveStatus: "revoked" },
      ],
      descendants: [
        { slug: "kid-a", parent: "self", depth: 1 },
        { slug: "kid-b", parent: "self", depth: 1 },
        { slug: "grandkid", parent: "kid-a", depth: 2 },
      ],
      counts: { ancestors: 2, children: 2, descendants: 3 },
    });
  });

  test("of one that stands alone is empty and not shown", async () => {
    await spawn("alone");

    expect(await lines("alone")).toEqual([]);
    expect(await showIdentity(database.db, "alone")).toMatchObject({
      ancestors: [],
      children: [],
      descendants: [],
      counts: { ancestors: 0, children: 0, descendants: 0 },
    });
  });

  test("shows fifty descendants, the nearest first, and counts the others", async () => {
    await spawn("mother");
    for (let child = 10; child < 70; child++) await spawn(`child-${child}`, "mother");
    await spawn("grandchild", "child-10");

    const shown = await lines("mother");

    expect(shown.slice(0, 3)).toEqual(["mother active", "  child-10 active", "  child-11 active"]);
    expect(shown).toHaveLength(52);
    expect(shown.at(-1)).toBe("and 11 more below");
    expect((await showIdentity(database.db, "mother")).counts).toEqual({
      ancestors: 0,
      children: 60,
      descendants: 61,
    });
  });

  test("shows fifty ancestors, the nearest, and counts the others", async () => {
    await chain("link", 53);

    const whole = await showIdentity(database.db, "link-52");

    expect(whole.ancestors).toHaveLength(50);
    expect(whole.ancestors[0]?.slug).toBe("link-51");
    expect(whole.counts.ancestors).toBe(52);
    expect(await lines("link-52")).toContain("and 2 more above");
  });
});
