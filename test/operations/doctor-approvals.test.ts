import { randomBytes } from "node:crypto";
import { chmodSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { parseReference } from "../../src/domain/reference.ts";
import { draftControl } from "../../src/operations/approval/draft.ts";
import { loadTrust } from "../../src/operations/approval/trust-dir.ts";
import { grantRoles } from "../../src/operations/db-grant.ts";
import { protectEnvironment } from "../../src/operations/db-protect.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { approvalFindings } from "../../src/operations/doctor-approvals.ts";
import { requireEnvironment } from "../../src/operations/lookup.ts";
import { databases, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import {
  carryOut,
  castVote,
  draftNewToken,
  issueApproved,
  markUsed,
  OPERATOR,
  openTrustDesk,
  requestSigned,
  type TrustDesk,
  withoutGuards,
} from "../support/trust.ts";
import { insertLegacy } from "../verifier/scene.ts";

/** What `doctor` says of approvals, as `severity: message → mend`. */
async function examine(db: Database, desk: TrustDesk | null): Promise<string[]> {
  const trust = desk === null ? null : { root: loadTrust(desk.dir), dir: desk.dir };
  const { checks, findings } = await diagnose(db, Date.now, { trust });
  expect(checks).toContain("approvals");
  return findings
    .filter(({ check }) => check === "approvals")
    .map(({ severity, message, mend }) => `${severity}: ${message} → ${mend}`);
}

describe.each(databases())("doctor on approvals on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  let desk: TrustDesk;
  let databaseId: string;

  beforeEach(async () => {
    database = await factory.create();
    ({ db } = database);
    ({ databaseId } = await requireEnvironment(db));
    desk = openTrustDesk(["alice", "bob", "carol"], {
      ...{ quorum: 1, databases: [databaseId], breakGlass: ["alice"] },
    });
  });
  afterEach(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  test("has nothing to say where nothing is protected", async () => {
    expect(await examine(db, null)).toEqual([]);
  });

  describe("where the environment is protected", () => {
    beforeEach(() => protectEnvironment(db, OPERATOR, []));

    test("has nothing to say where signed plans cover every live token", async () => {
      await issueApproved(db, desk, "deploy-bot");

      expect(await examine(db, desk)).toEqual([]);
    });

    test("says that it cannot judge without a trust root", async () => {
      expect(await examine(db, null)).toEqual([
        expect.stringMatching(/^info: No trust root is named.* → midctl doctor --trust-dir DIR$/),
      ]);
    });

    test("finds that the policy lets requests go unsigned", async () => {
      desk.write(["alice", "bob"], { requesterSigns: false, databases: [databaseId] });

      expect(await examine(db, desk)).toEqual([expect.stringMatching(/^warning: .*request.* unsigned/)]);
    });

    test("finds that the policy names no databases, and says which this one is", async () => {
      desk.write(["alice", "bob"], {});

      expect(await examine(db, desk)).toEqual([
        expect.stringMatching(
          new RegExp(`^warning: .* names no databases.*"databases":\\["${databaseId}"\\]`),
        ),
      ]);
    });

    test("finds that the policy names other databases alone: an error, said once for all tokens", async () => {
      await issueApproved(db, desk, "deploy-bot");
      desk.write(["alice", "bob"], { databases: ["00000000-0000-4000-8000-000000000000"] });

      expect(await examine(db, desk)).toEqual([
        expect.stringMatching(new RegExp(`^error: .* does not name this database.*add "${databaseId}"`)),
      ]);
    });

    test.runIf(process.getuid !== undefined)("finds who else can change the trust root", async () => {
      chmodSync(desk.dir, 0o777);

      expect(await examine(db, desk)).toEqual([
        expect.stringMatching(new RegExp(`^warning: ${desk.dir} can be changed by anybody`)),
      ]);
    });

    test("names break-glass that nobody countersigned, five at most, until somebody does", async () => {
      await issueApproved(db, desk, "deploy-bot");
      const first = await breakGlass(db, desk, "deploy-bot");
      const broken = [first];
      for (let count = 1; count < 7; count++) broken.push(await breakGlass(db, desk, "deploy-bot"));
      await carryOut(db, first);

      const found = await examine(db, desk);
      for (const written of broken) await castVote(db, desk, written, "approval", "bob");

      expect(found).toHaveLength(6);
      expect(found[0]).toMatch(/^warning: alice broke the glass at /);
      expect(found[0]).toContain(`→ midctl approval approve ${first.plan.id} --key KEY`);
      expect(found[5]).toMatch(/^warning: 2 more break-glass actions are not countersigned/);
      expect(await examine(db, desk)).toEqual([]);
    });

    test("counts what a change of the trust root would cut off", async () => {
      const kept = await issueApproved(db, desk, "by-carol", { approvers: ["carol"] });
      const cut = await Promise.all(
        ["one", "two", "three", "four", "five", "six"].map((slug) => issueApproved(db, desk, slug)),
      );
      desk.write(["alice", "carol"], { databases: [databaseId] });

      const [found = "", ...others] = await examine(db, desk);

      expect(others).toEqual([]);
      expect(found).toMatch(/^warning: 6 live tokens are covered by no plan.*, and 1 more\./);
      const ids = cut.map(({ written }) => written.plan.lines[0]?.credential?.id ?? "").sort();
      expect(ids.map((id) => found.includes(id))).toEqual([true, true, true, true, true, false]);
      expect(found).not.toContain(kept.written.plan.lines[0]?.credential?.id);
    });

    test("counts a token that two plans cover as covered while one of them is in force", async () => {
      const first = await draftNewToken(db, "deploy-bot");
      await markUsed(db, await requestSigned(db, desk, [first.draft], { approvers: ["carol"] }));
      await carryOut(db, await requestSigned(db, desk, [first.draft], { approvers: ["bob"] }));
      desk.write(["alice", "carol"], { databases: [databaseId] });

      expect(await examine(db, desk)).toEqual([]);
    });

    test("counts a token whose line has ended, whatever the row says", async () => {
      const { draft } = await draftNewToken(db, "deploy-bot", { expiresIn: 3600 });
      await carryOut(db, await requestSigned(db, desk, [draft]));
      const id = draft.line.credential?.id ?? "";

      const before = await examine(db, desk);
      await withoutGuards(db, async () => {
        await db.query(
          `UPDATE machine_identity_credential SET "expiresAt" = midctl_now() + interval '1 year'`,
        );
      });
      const later = await examineAt(db, desk, Date.now() + 2 * 3_600_000);

      expect(before).toEqual([]);
      expect(later).toEqual([expect.stringContaining(`1 live token is covered by no plan`)]);
      expect(later[0]).toContain(id);
    });

    test("names what was carried out by votes that nobody signed", async () => {
      await issueApproved(db, desk, "deploy-bot");
      const written = await requestSigned(db, desk, [await draftPause(db, "deploy-bot")], { approvers: [] });
      await db.query(
        `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
         SELECT id, 'approval', 'bob', 'SHA256:forged', 'forged' FROM midctl_approval WHERE digest = $1`,
        [written.digest],
      );
      const before = await examine(db, desk);
      await carryOut(db, written);

      const found = await examine(db, desk);

      expect(before).toEqual([]);
      expect(found).toEqual([
        expect.stringMatching(
          new RegExp(
            `^warning: ${written.plan.id} .pause, requested by alice. was carried out.* 0 of 1 approvals hold`,
          ),
        ),
      ]);
    });

    test("names what issued a token by forged votes once that is dead, and can no more be counted", async () => {
      const { draft } = await draftNewToken(db, "ghost");
      const written = await requestSigned(db, desk, [draft], { approvers: [] });
      await db.query(
        `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
         SELECT id, 'approval', 'bob', 'SHA256:forged', 'forged' FROM midctl_approval WHERE digest = $1`,
        [written.digest],
      );
      await carryOut(db, written);
      const alive = await examine(db, desk);
      await withoutGuards(db, () =>
        db.query(
          `UPDATE machine_identity_credential SET "activationDeadline" = midctl_now() - interval '1 s'`,
        ),
      );

      const dead = await examine(db, desk);

      expect(alive).toEqual([expect.stringContaining("1 live token is covered by no plan")]);
      expect(dead).toEqual([
        expect.stringMatching(
          new RegExp(`^warning: ${written.plan.id} .credential.issue,.* was carried out`),
        ),
      ]);
    });

    test("names break-glass that was carried out without a signed request", async () => {
      await issueApproved(db, desk, "deploy-bot");
      const written = await breakGlass(db, desk, "deploy-bot", null);
      await db.query(
        `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
         SELECT id, 'request', 'alice', 'SHA256:forged', 'forged' FROM midctl_approval WHERE digest = $1`,
        [written.digest],
      );
      await carryOut(db, written);

      const found = await examine(db, desk);

      expect(found).toHaveLength(2);
      expect(found[1]).toMatch(/^error: .*was carried out.*: its request is not signed/);
    });

    test("names break-glass of whom the policy does not let, countersigned or not: an error", async () => {
      await issueApproved(db, desk, "deploy-bot");
      const written = await breakGlass(db, desk, "deploy-bot");
      await carryOut(db, written);
      await castVote(db, desk, written, "approval", "bob");
      desk.write(["alice", "bob", "carol"], { quorum: 1, databases: [databaseId], breakGlass: ["carol"] });

      expect(await examine(db, desk)).toEqual([
        expect.stringMatching(
          new RegExp(`^error: ${written.plan.id} .*the policy's breakGlass does not name alice`),
        ),
      ]);
    });

    test("counts a token whose row says more than its line", async () => {
      const widened = await issueApproved(db, desk, "widened");
      await issueApproved(db, desk, "as-signed");
      await withoutGuards(db, () =>
        db.query(
          `UPDATE machine_identity_credential c SET scopes = '["admin:*"]' FROM machine_identity i
            WHERE i.id = c."machineIdentityId" AND i.slug = 'widened'`,
        ),
      );

      const found = await examine(db, desk);

      expect(found).toEqual([
        expect.stringContaining(
          `refused by verifiers that have it: ${widened.written.plan.lines[0]?.credential?.id}.`,
        ),
      ]);
    });

    test("counts a token that was moved to another identity", async () => {
      await issueApproved(db, desk, "owner");
      await issueApproved(db, desk, "thief");
      await withoutGuards(db, () =>
        db.query(
          `UPDATE machine_identity_credential SET name = 'moved', "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'thief')
            WHERE "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'owner')`,
        ),
      );

      expect(await examine(db, desk)).toEqual([
        expect.stringContaining("1 live token is covered by no plan"),
      ]);
    });

    test("counts a legacy token that no plan names", async () => {
      await insertLegacy(db, "legacytoken1");

      expect(await examine(db, desk)).toEqual([expect.stringContaining("at_legacytoken1")]);
    });

    test("reads and judges a plan once, however many tokens it names", async () => {
      const drafts = [];
      for (let count = 0; count < 12; count++) {
        drafts.push((await draftNewToken(db, `service-${count}`)).draft);
      }
      await carryOut(db, await requestSigned(db, desk, drafts));
      const { counting, reads } = countPlanReads(db);

      const found = await examine(counting, desk);

      expect([found, reads()]).toEqual([[], 1]);
    });
  });
});

describe.each(postgresDatabases())("on $name", (factory) => {
  test("an auditor, who may not read hashes, finds the same; who may not read approvals is told so", async () => {
    const database = await factory.create();
    const { db } = database;
    const desk = openTrustDesk();
    const [auditor, stale] = [`auditor_${suffix()}`, `stale_${suffix()}`];
    for (const role of [auditor, stale]) {
      await db.query(`CREATE ROLE ${role} LOGIN`);
      await grantRoles(db, OPERATOR, { name: role, roles: ["auditor"], revoke: false });
    }
    await db.query(`REVOKE ALL ON midctl_approval FROM ${stale}`);
    await protectEnvironment(db, OPERATOR, []);
    await issueApproved(db, desk, "deploy-bot");
    desk.write(["alice", "carol"], { databases: [(await requireEnvironment(db)).databaseId] });
    const connect = (role: string) =>
      openPostgres({ url: (database.directUrl ?? "").replace(/\/\/[^@]+@/, `//${role}@`) }, { max: 2 });
    const [seeing, blind] = [connect(auditor), connect(stale)];

    const [found, unread] = [await examine(seeing, desk), await examine(blind, desk)];

    await Promise.all([seeing.close(), blind.close()]);
    expect(found).toEqual([expect.stringMatching(/^warning: 1 live token is covered by no plan/)]);
    expect(unread).toEqual([expect.stringMatching(/^info: This connection may not read approvals/)]);
    await database.dispose();
    desk.dispose();
  });
});

const suffix = () => randomBytes(4).toString("hex");

async function examineAt(db: Database, desk: TrustDesk, now: number): Promise<string[]> {
  const trust = { root: loadTrust(desk.dir), dir: desk.dir };
  return (await approvalFindings(db, await requireEnvironment(db), trust, now)).map(({ message }) => message);
}

async function draftPause(db: Database, slug: string) {
  const [row] = await db.query<{ version: number }>(
    "SELECT version::float8 AS version FROM machine_identity WHERE slug = $1",
    [slug],
  );
  return draftControl(
    db,
    { reference: parseReference(slug), status: "active", version: row?.version ?? 0, title: slug },
    "paused",
  );
}

async function breakGlass(db: Database, desk: TrustDesk, slug: string, requester?: null) {
  return requestSigned(db, desk, [await draftPause(db, slug)], {
    ...(requester === undefined ? {} : { requester }),
    approvers: [],
    edit: { action: "pause", breakGlass: { ticket: "INC-1" } },
  });
}

/** The same database, and how many plans were read by it. */
function countPlanReads(db: Database): { readonly counting: Database; readonly reads: () => number } {
  let reads = 0;
  const counting: Database = Object.create(db, {
    query: {
      value: (text: string, ...rest: unknown[]) => {
        if (text.includes("FROM midctl_plan")) reads++;
        return (db.query as (...all: unknown[]) => unknown)(text, ...rest);
      },
    },
  });
  return { counting, reads: () => reads };
}
