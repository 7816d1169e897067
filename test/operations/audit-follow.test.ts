import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { followAudit } from "../../src/operations/audit-follow.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

const insertIdentity = (slug: string) =>
  `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner) VALUES ('${slug.padEnd(12, "0")}', '${slug}', 'x', 'service', 'x')`;
const insertEvents = (first: number, last: number) =>
  `INSERT INTO agent_audit_event ("publicId", action, "createdAt") SELECT lpad(n::text, 12, '0'), 'card.move', midctl_now() FROM generate_series(${first}, ${last}) n`;

describe.each(databases())("following the audit on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  let following: ReturnType<typeof followAudit> | null = null;

  beforeAll(async () => {
    database = await factory.create();
    ({ db } = database);
    await db.query(insertIdentity("before"));
    await db.query(insertEvents(1, 1200));
  });
  afterEach(() => following?.return(undefined));
  afterAll(() => database?.dispose());

  /** The first events of it, so many. */
  async function take(follower: ReturnType<typeof followAudit>, count: number) {
    const taken: string[] = [];
    while (taken.length < count) {
      const batch = await follower.next();
      if (batch.done === true) break;
      taken.push(...batch.value.map(({ machineIdentity, action }) => machineIdentity?.slug ?? action));
    }
    return taken;
  }

  test("gives what is committed after it began, and nothing from before", async () => {
    let first: Promise<string[]> = Promise.resolve([]);
    await new Promise<void>((onBegun) => {
      following = followAudit(db, {}, { onBegun });
      first = take(following, 1);
    });
    await db.query(insertIdentity("after"));

    expect(await first).toEqual(["after"]);
  });

  test("from an entry on gives all that the log and the agents have from its time on, oldest first", async () => {
    following = followAudit(db, { from: 0 });

    const taken = await take(following, 1202);

    expect(taken.filter((what) => what === "card.move")).toHaveLength(1200);
    expect(taken.indexOf("before")).toBeLessThan(taken.indexOf("card.move"));
    expect(taken.indexOf("after")).toBeGreaterThan(taken.lastIndexOf("card.move"));
  });

  test("of an identity that there is not is not found", async () => {
    await expect(followAudit(db, { identity: "nobody" }).next()).rejects.toMatchObject({ code: "not_found" });
  });
});
