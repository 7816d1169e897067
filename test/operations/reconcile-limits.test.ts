import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import type { ForgottenLimit } from "../../src/domain/forgotten-limits.ts";
import { readLimits } from "../../src/operations/reconcile-limits.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { withoutGuards } from "../support/trust.ts";

describe.each(databases())("what a restored database lets happen again, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await create();
    db = database.db;
    await db.query(
      `INSERT INTO midctl_grant (name, role, roles, added) VALUES ('alice', 10, '["auditor", "operator"]', '[]')`,
    );
  });
  afterAll(() => database.dispose());

  const read = async (limit: object) => {
    const [found] = await readLimits(db, [{ ...limit, entry: 7, action: "x.y", at: "" } as ForgottenLimit]);
    return found;
  };

  test("is open where a database role has rights that were taken away, which are named", async () => {
    expect(await read({ what: "grant", name: "alice", roles: ["auditor"] })).toMatchObject({
      state: "open",
      says: "the database role alice has again the rights of operator",
      mend: "midctl db grant --revoke --role operator alice",
    });
  });

  test("is done where it has none that it was not left with, or none at all", async () => {
    expect(await read({ what: "grant", name: "alice", roles: ["auditor", "operator"] })).toMatchObject({
      state: "done",
    });
    expect(await read({ what: "grant", name: "bob", roles: [] })).toMatchObject({ state: "done" });
  });

  test("is open where the database had moved, of which no command is known", async () => {
    expect(await read({ what: "move", place: "postgres://elsewhere/db" })).toMatchObject({
      state: "open",
      mend: null,
    });
  });

  test("is done where an approval is not known", async () => {
    expect(await read({ what: "approval", id: "ap_abcdefghijkl" })).toMatchObject({ state: "done" });
  });

  test("is done where no legacy token of a workspace works", async () => {
    expect(await read({ what: "workspace", id: "wsabcdefghij" })).toMatchObject({
      state: "done",
      mend: null,
    });
  });

  test("is open where protection is gone, and done where it is back", async () => {
    const before = await read({ what: "protection" });
    await withoutGuards(db, () => db.query("UPDATE midctl_environment SET protected = true"), [
      "midctl_environment",
    ]);

    expect(before).toMatchObject({ state: "open", mend: "midctl db protect --key KEY" });
    expect(await read({ what: "protection" })).toMatchObject({ state: "done" });
  });
});
