import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { noteEvidence } from "../../src/operations/evidence.ts";
import { readStatus } from "../../src/operations/status.ts";
import type { NewEvidence } from "../../src/repository/evidence.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { withoutGuards } from "../support/trust.ts";

const ROOT = Buffer.alloc(32, 7);

describe.each(databases())("when the log was last verified and anchored, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeEach(async () => {
    database = await create();
    db = database.db;
  });
  afterEach(() => database.dispose());

  async function note(evidence: Partial<NewEvidence>): Promise<unknown> {
    return noteEvidence(db, {
      ...({ what: "verified", against: "itself", from: 0, size: 1, root: ROOT, found: 0 } as const),
      ...evidence,
    });
  }
  async function found(): Promise<string[]> {
    const { findings } = await diagnose(db, Date.now);
    return findings
      .filter(({ check }) => check === "evidence")
      .map(({ severity, message }) => `${severity}: ${message}`);
  }
  async function age(interval: string): Promise<void> {
    await db.query(`UPDATE midctl_log_evidence SET at = at - $1::text::interval`, [interval]);
  }
  /** A production database that was made a month ago. */
  async function protect(): Promise<void> {
    await withoutGuards(db, () => db.query("UPDATE midctl_environment SET protected = true"), [
      "midctl_environment",
    ]);
    await db.query(`UPDATE midctl_migration SET "appliedAt" = "appliedAt" - interval '40 days'`);
  }

  test("is never, to begin with", async () => {
    const { log } = await readStatus(db);

    expect(log).toEqual({ size: expect.any(Number), verified: null, anchored: null });
  });

  test("is told of the last time against something from elsewhere, and else against itself", async () => {
    await note({});
    const itself = (await readStatus(db)).log?.verified;
    await note({ against: "checkpoint" });
    await note({});

    expect(itself).toMatchObject({ against: "itself", size: 1, found: 0, by: expect.any(String) });
    expect((await readStatus(db)).log?.verified?.against).toBe("checkpoint");
  });

  test("is an entry of the log for nobody: it would never be as long as its last checkpoint", async () => {
    const before = (await readStatus(db)).log?.size;

    await note({ what: "anchored", against: "checkpoint" });

    expect((await readStatus(db)).log).toMatchObject({ size: before, anchored: { against: "checkpoint" } });
  });

  test("is not taken from whoever saw more than there is", async () => {
    await note({ size: 1_000_000 });

    expect((await readStatus(db)).log?.verified).toBeNull();
  });

  test("is an error of doctor's while what was found stands, until a comparison as good finds nothing", async () => {
    await note({ against: "checkpoint", found: 2 });
    await age("1 hour");
    await note({});
    const standing = await found();
    await note({ against: "signed_checkpoint" });

    expect(standing).toEqual([
      expect.stringMatching(/^error: On .* compared with checkpoints, and 2 things were found to be wrong/),
    ]);
    expect(await found()).toEqual([]);
  });

  test("is not told where it cannot be written, which is said and nothing worse", async () => {
    let refused: unknown;
    // What failed rolls the transaction back, of which this test knows.
    await db
      .transaction(async (tx) => {
        await tx.query("SET TRANSACTION READ ONLY");
        refused = await noteEvidence(tx, {
          ...({ what: "verified", against: "itself", from: 0, size: 1, root: ROOT, found: 0 } as const),
        });
      })
      .catch(() => {});

    expect(refused).toMatchObject({ code: "unavailable", message: expect.stringContaining("read-only") });
  });

  test("is a warning where production was never anchored, and never compared with anything", async () => {
    await protect();

    expect(await found()).toEqual([
      expect.stringContaining("warning: The log's head was never kept outside"),
      expect.stringContaining("warning: The log was never compared"),
    ]);
  });

  test("is no warning where both were done lately, and one again a month later", async () => {
    await protect();
    await note({ what: "anchored", against: "checkpoint", size: 0 });
    await note({ against: "signed_checkpoint" });
    const fresh = await found();
    await age("31 days");

    expect(fresh).toEqual([]);
    expect(await found()).toEqual([
      expect.stringContaining("since its head was last kept outside"),
      expect.stringContaining("The log was last on"),
    ]);
  });

  test("is no warning where nothing is protected", async () => {
    await db.query(`UPDATE midctl_migration SET "appliedAt" = "appliedAt" - interval '40 days'`);

    expect(await found()).toEqual([]);
  });
});
