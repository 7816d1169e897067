import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openPostgres } from "../../src/db/postgres.ts";
import { applyApproval } from "../../src/operations/approval/apply.ts";
import { draftControl } from "../../src/operations/approval/draft.ts";
import { loadTrust } from "../../src/operations/approval/trust-dir.ts";
import { readTarget } from "../../src/operations/control.ts";
import { initDatabase } from "../../src/operations/db-init.ts";
import { approveLines, type Bench, faultsOf, killAppliers, raceOnce } from "../campaign/forgery/appliers.ts";
import { createRandom } from "../campaign/random.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { OPERATOR, openTrustDesk, requestSigned, type TrustDesk, withoutGuards } from "../support/trust.ts";

/** Few of what `npm run campaign:forgery` does many times. */
describe.each(postgresDatabases())("appliers, on $name", (factory) => {
  let database: TestDatabase;
  let desk: TrustDesk;
  let bench: Bench;
  beforeAll(async () => {
    database = await factory.create();
    desk = openTrustDesk();
    await initDatabase(database.db, OPERATOR, { name: "production", live: true, protected: true });
    bench = { db: database.db, url: database.url ?? "", desk, dir: desk.dir };
  });
  afterAll(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  test.each(Array.from({ length: 10 }, (_, race) => race + 1))(
    "that race over one plan carry out each line once, and neither fails (race %i)",
    async () => {
      const written = await approveLines(bench);
      const other = openPostgres({ url: bench.url });
      try {
        expect((await raceOnce(bench, written, [bench.db, other])).faults).toEqual([]);
      } finally {
        await other.close();
      }
    },
  );

  test("that come after all is done change nothing, and say so", async () => {
    const written = await approveLines(bench, 2);
    const trust = loadTrust(bench.dir);
    await applyApproval(bench.db, OPERATOR, trust, written.plan.id);

    const again = await applyApproval(bench.db, OPERATOR, trust, written.plan.id);

    expect(again).toMatchObject({ changed: false, results: [], approval: { status: "executed", done: 2 } });
    expect(await faultsOf(bench.db, written)).toEqual([]);
  });

  test("believe no status that says a plan is executed of which lines are open", async () => {
    const { plan: made } = await approveLines(bench, 2);
    await withoutGuards(
      bench.db,
      () =>
        bench.db.query(`UPDATE midctl_approval SET status = 'executed' WHERE "publicId" = $1`, [
          made.id.slice(3),
        ]),
      ["midctl_approval"],
    );

    const applied = applyApproval(bench.db, OPERATOR, loadTrust(bench.dir), made.id);

    await expect(applied).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("2 of 2 lines were never carried out"),
    });
  });

  test("break no glass on for whom the policy does not let, and do for whom it does", async () => {
    const { plan: made } = await approveLines(bench, 1);
    await applyApproval(bench.db, OPERATOR, loadTrust(bench.dir), made.id);
    const slug = made.lines[0]?.identity?.slug ?? "";
    const draft = await draftControl(bench.db, await readTarget(bench.db, slug), "paused");
    const { plan } = await requestSigned(bench.db, desk, [draft], {
      approvers: [],
      edit: { breakGlass: { ticket: "INC-1" } },
    });
    const apply = () => applyApproval(bench.db, OPERATOR, loadTrust(bench.dir), plan.id);

    await expect(apply()).rejects.toMatchObject({
      code: "denied",
      message: expect.stringContaining("the policy's breakGlass does not name who did it"),
    });
    desk.write(["alice", "bob", "carol"], { quorum: 1, breakGlass: ["alice"] });
    expect(await apply()).toMatchObject({ changed: true, approval: { status: "uncountersigned", done: 1 } });
    desk.write(["alice", "bob", "carol"]);
  });

  test("that are killed leave each line done and used up, or neither, and the next goes on", async () => {
    const faults: string[] = [];
    const scratch = mkdtempSync(join(inject("scratch"), "kills-"));
    const program = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));
    const random = createRandom(randomBytes(4).readUInt32BE(), 0);

    const told = await killAppliers(bench, 2, { program, scratch, random }, faults);

    expect(faults).toEqual([]);
    expect(told).toMatch(/^kills: 2 of approval apply/);
  });
});
