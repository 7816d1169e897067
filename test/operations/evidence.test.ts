import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { EMPTY_ROOT } from "../../src/domain/merkle.ts";
import { readHead } from "../../src/operations/audit-checkpoint.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { noteEvidence, readVerified } from "../../src/operations/evidence.ts";
import { readStatus } from "../../src/operations/status.ts";
import type { NewEvidence } from "../../src/repository/evidence.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { withoutGuards } from "../support/trust.ts";

type Verification = Extract<NewEvidence, { what: "verified" }>;

describe.each(databases())("when the log was last verified and anchored, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  beforeEach(async () => {
    database = await create();
    db = database.db;
  });
  afterEach(() => database.dispose());

  /** Of the log as it is, unless told otherwise. */
  async function note(evidence: Partial<Verification>): Promise<unknown> {
    const { size, root } = await readHead(db, null);
    return noteEvidence(db, {
      ...({ what: "verified", against: "itself", from: 0, size, root, found: 0, compared: 0 } as const),
      ...{ disputed: null, agreed: [] },
      ...evidence,
    });
  }
  async function anchor(seen: { size: number; root: Uint8Array } | null = null): Promise<unknown> {
    const { size, root } = seen ?? (await readHead(db, null));
    return noteEvidence(db, { what: "anchored", against: "checkpoint", from: 0, size, root });
  }
  /** An entry more. */
  async function grow(): Promise<void> {
    const n = ++grown;
    await db.query(
      `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner) VALUES (lpad($1, 12, '0'), 'svc-' || $1, 'service', 'svc', 'team')`,
      [String(n)],
    );
  }
  let grown = 0;
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

    expect(log).toEqual({ size: expect.any(Number), verified: null, anchored: null, found: [] });
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

    await anchor();

    expect((await readStatus(db)).log).toMatchObject({ size: before, anchored: { against: "checkpoint" } });
  });

  test("is not taken from whoever saw more than there is", async () => {
    await note({ size: 1_000_000 });

    expect((await readStatus(db)).log?.verified).toBeNull();
  });

  test("is an error of doctor's while what was found stands, until a comparison as good finds nothing", async () => {
    await note({ against: "checkpoint", found: 2, compared: 1 });
    await note({});
    const standing = await found();
    await note({ against: "signed_checkpoint", compared: 1 });

    expect(standing).toEqual([
      expect.stringMatching(/^error: On .* compared with checkpoints, and 2 things were found to be wrong/),
    ]);
    expect(await found()).toEqual([]);
  });

  test.each<[string, Partial<Verification>]>([
    ["one that goes on from a checkpoint", { against: "checkpoint", from: 1, compared: 2 }],
    ["one that reaches less far", { against: "checkpoint", compared: 1 }],
    ["one against what nobody signed", { against: "checkpoint", compared: 2 }],
    ["one against an export", { against: "export", compared: 2 }],
    ["one against itself", { against: "itself" }],
    ["one that finds something else, and reaches less far", { against: "checkpoint", found: 1, compared: 1 }],
  ])("what was found against signed checkpoints stands after %s", async (_, weaker) => {
    await grow();
    await note({ against: "signed_checkpoint", found: 1, compared: 2 });

    await note(weaker);

    expect((await readStatus(db)).log?.found).toContainEqual(
      expect.objectContaining({ against: "signed_checkpoint", found: 1, compared: 2 }),
    );
  });

  test("what was found stands after a comparison of fewer entries", async () => {
    await grow();
    const { size, root } = await readHead(db, null);
    await note({ against: "checkpoint", found: 1, compared: 1 });

    await note({ against: "checkpoint", compared: 1, size: size - 1, root });

    expect((await readStatus(db)).log?.found).toHaveLength(1);
  });

  test("what was found stands until each head that did not agree does, whatever others do", async () => {
    const [kept, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    await note({ against: "checkpoint", found: 1, compared: 1, disputed: kept });
    await note({ against: "checkpoint", found: 1, compared: 1, disputed: other });
    await note({ against: "signed_checkpoint", compared: 1, agreed: [other] });
    await note({ against: "signed_checkpoint", compared: 1, agreed: [kept] });
    const standing = (await readStatus(db)).log?.found;

    await note({ against: "checkpoint", compared: 1, agreed: [other, kept] });

    expect(standing).toHaveLength(1);
    expect((await readStatus(db)).log?.found).toEqual([]);
  });

  test.each(["verified", "anchored"] as const)(
    "is not written over where the log is another than the one that was %s",
    async (what) => {
      const again = () => (what === "verified" ? note({}) : anchor());
      await again();
      await db.query("UPDATE midctl_log_evidence SET root = sha256('another')");

      expect(await again()).toMatchObject({
        code: "conflict",
        message: `the log is another than the one that was ${what} before.`,
      });
      expect(await found()).toEqual([expect.stringMatching(/^error: .* rewritten/)]);
    },
  );

  test("what was found stands, however late the clock said it was when nothing was", async () => {
    await note({ against: "export", compared: 1 });
    await age("-10 years");
    await note({ against: "checkpoint", found: 1, compared: 1 });

    expect(await found()).toHaveLength(1);
  });

  test("is not gone on from while something that was found stands", async () => {
    await note({ against: "checkpoint", compared: 1 });
    const before = await readVerified(db, { signed: false });
    await note({ found: 1 });

    expect(before).toBe(1);
    expect(await readVerified(db, { signed: false })).toBe(0);
  });

  test("is an error of doctor's where the log is shorter now", async () => {
    await anchor();
    await db.query("UPDATE midctl_log_evidence SET size = size + 7");

    expect(await found()).toEqual([expect.stringMatching(/^error: .* cut off, or restored from before/)]);
  });

  test("is an error of doctor's where the log begins with other entries now", async () => {
    await note({});
    await grow();
    const sound = await found();
    await db.query("UPDATE midctl_log_evidence SET root = sha256('another')");

    expect(sound).toEqual([]);
    expect(await found()).toEqual([expect.stringMatching(/^error: .* rewritten/)]);
  });

  test("is not told where it cannot be written, which is said and nothing worse", async () => {
    let refused: unknown;
    // What failed rolls the transaction back, of which this test knows.
    await db
      .transaction(async (tx) => {
        await tx.query("SET TRANSACTION READ ONLY");
        refused = await noteEvidence(tx, {
          ...({ what: "verified", against: "itself", from: 0, size: 1, found: 0, compared: 0 } as const),
          ...{ root: Buffer.alloc(32), disputed: null, agreed: [] },
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
    await anchor({ size: 0, root: EMPTY_ROOT });
    await note({ against: "signed_checkpoint", compared: 1 });
    const fresh = await found();
    await age("31 days");

    expect(fresh).toEqual([]);
    expect(await found()).toEqual([
      expect.stringContaining("since its head was last kept outside"),
      expect.stringContaining("The log was last on"),
    ]);
  });

  test("is a warning where nothing that was compared reached any entry, and where it is said to be later than now", async () => {
    await protect();
    await anchor();
    await note({ against: "export", compared: 0 });
    const nothing = await found();
    await note({ against: "checkpoint", compared: 1 });
    await age("-1 day");

    expect(nothing).toEqual([expect.stringContaining("warning: The log was never compared")]);
    expect(await found()).toEqual([expect.stringContaining("warning: The log was last on")]);
  });

  test("is no warning where nothing is protected", async () => {
    await db.query(`UPDATE midctl_migration SET "appliedAt" = "appliedAt" - interval '40 days'`);

    expect(await found()).toEqual([]);
  });
});
