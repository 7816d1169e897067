import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { commitToHash, NAMESPACES } from "../../src/domain/plan.ts";
import { type Plan, writePlan } from "../../src/operations/approval/plan.ts";
import { loadTrust } from "../../src/operations/approval/trust-dir.ts";
import { quickHash } from "../../src/operations/decide.ts";
import { requireEnvironment } from "../../src/operations/lookup.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import {
  APPROVAL_TABLES,
  castVote,
  draftCover,
  markUsed,
  openRequest,
  openTrustDesk,
  plantPlan,
  requestSigned,
  type TrustDesk,
  withoutGuards,
  writePlanOf,
} from "../support/trust.ts";
import { insertLegacy, issueActive } from "./scene.ts";
import {
  coverOne,
  decideAfresh,
  decideUnchecked,
  draftOne,
  OWNERS,
  requestCarriedOut,
  UNAPPROVED,
} from "./trust-scene.ts";

describe.each(databases())("a verifier with a trust root, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  let desk: TrustDesk;
  beforeAll(async () => {
    database = await create();
    db = database.db;
    desk = openTrustDesk(OWNERS);
  });
  afterAll(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  const decide = (token: string, scope?: string) => decideAfresh(db, token, desk, scope);

  /** While the policy says something else. */
  async function under<T>(policy: Readonly<Record<string, unknown>>, work: () => Promise<T>): Promise<T> {
    desk.write(OWNERS, policy);
    try {
      return await work();
    } finally {
      desk.write(OWNERS);
    }
  }

  /** A plan that bob and alice signed indeed, planted where the guards would not take it. */
  async function plant(edit: Partial<Plan>): Promise<string> {
    const { token, line } = await draftOne(db);
    const written = await writePlanOf(db, [line], edit);
    await plantPlan(db, written, [
      {
        kind: "request",
        principal: "alice",
        signature: desk.sign("alice", written.text, NAMESPACES.request),
      },
      { kind: "approval", principal: "bob", signature: desk.sign("bob", written.text, NAMESPACES.approval) },
    ]);
    return token;
  }

  describe("accepts", () => {
    test("a token that a signed plan names, as without a trust root, and says by which approval", async () => {
      const { token, written } = await coverOne(db, desk);
      const without = await decideUnchecked(db, token);

      const decision = await decide(token);

      expect(decision).toEqual({ ...without, approval: written.plan.id });
      expect(Object.isFrozen(decision)).toBe(true);
    });

    test("a token, however many plans name it in lines that issue nothing", async () => {
      const { token } = await coverOne(db, desk);
      const secret = commitToHash(quickHash(token));
      await withoutGuards(
        db,
        () =>
          db.query(
            `WITH junk AS (SELECT n, 'junk ' || $1 || n AS plan FROM generate_series(1, 40) n),
                  plans AS (INSERT INTO midctl_plan (digest, plan) SELECT encode(sha256(convert_to(plan, 'UTF8')), 'hex'), plan FROM junk RETURNING digest),
                  asked AS (INSERT INTO midctl_approval (digest, quorum, "publicId", action, requester, status, lines, remaining, "requestedAt", "approveBy", "executeBy")
                            SELECT digest, 1, substr(digest, 1, 12), 'pause', 'mallory', 'executed', 1, 0, now(), now(), now() FROM plans RETURNING id)
             INSERT INTO midctl_approval_line ("approvalId", line, "do", secret, terms, outcome, used)
             SELECT id, 1, 'pause', $1, '{}', 'done', true FROM asked`,
            [secret],
          ),
        APPROVAL_TABLES,
      );

      expect(await decide(token)).toMatchObject({ ok: true });
    });

    test("a token until its plan's end, though the row lives on", async () => {
      const notAfter = new Date(Date.now() + 86_400_000).toISOString();
      const { token } = await coverOne(db, desk, { terms: { notAfter } });

      expect(await decide(token)).toMatchObject({ ok: true, expiresAt: notAfter });
    });

    test("a legacy token that a plan covers, with its scopes", async () => {
      const token = await insertLegacy(db, "legacyCover1");
      await requestCarriedOut(db, desk, [await draftCover(db, quickHash(token))]);

      expect(await decide(token)).toMatchObject({ actor: { kind: "legacy_token" }, scopes: ["cards:*"] });
    });

    test("what is asked within its scopes, and nothing beyond", async () => {
      const { token } = await coverOne(db, desk);

      expect(await decide(token, "cards:read")).toMatchObject({ ok: true });
      expect(await decide(token, "cards:write")).toEqual({ ok: false, code: "scope_missing" });
    });

    test("an unsigned request where the policy lets requests go unsigned", async () => {
      const { token } = await coverOne(db, desk, { requester: null });

      await under({ requesterSigns: false }, async () => {
        expect(await decide(token)).toMatchObject({ ok: true });
      });
    });

    test("two people where the quorum is two", async () => {
      const { token } = await coverOne(db, desk, { approvers: ["bob", "carol"] });

      await under({ quorum: 2 }, async () => expect(await decide(token)).toMatchObject({ ok: true }));
    });

    test("by one plan of two, where the newer is not in force", async () => {
      const { token, line } = await draftOne(db);
      const good = await requestCarriedOut(db, desk, [line]);
      await requestCarriedOut(db, desk, [line], { requester: null });

      expect(await decide(token)).toMatchObject({ approval: good.plan.id });
    });

    test("rows that no guard has seen, for what is signed is signed", async () => {
      expect(await decide(await plant({}))).toMatchObject({ ok: true });
    });
  });

  describe("refuses as unapproved", () => {
    test.each<[string, () => Promise<string>]>([
      ["a token of a test environment that no plan names", () => issueActive(db, "unnamed")],
      ["a legacy token that no plan names", () => insertLegacy(db, "legacyPlain1")],
      [
        "what nobody but its requester approved",
        async () => {
          const { token, written } = await coverOne(db, desk, { approvers: [] });
          // The guards compare names, and a name is whatever the writer says.
          await castVote(db, desk, written, "approval", "alice", { principal: "bob" });
          return token;
        },
      ],
      [
        "what was approved, and not carried out",
        async () => {
          const { token, line } = await draftOne(db);
          await requestSigned(db, desk, [line]);
          return token;
        },
      ],
      ["what was requested unsigned", async () => (await coverOne(db, desk, { requester: null })).token],
      [
        "what was requested in another's name",
        async () => {
          const { token, line } = await draftOne(db);
          const written = await writePlanOf(db, [line]);
          await openRequest(db, written);
          await markUsed(db, written);
          await castVote(db, desk, written, "request", "carol", { principal: "alice" });
          await castVote(db, desk, written, "approval", "bob");
          return token;
        },
      ],
      ["what a stranger approved", async () => (await coverOne(db, desk, { approvers: ["mallory"] })).token],
      [
        "an approval moved from another plan",
        async () => {
          const other = await coverOne(db, desk);
          const { token, written } = await coverOne(db, desk, { approvers: [] });
          await castVote(db, desk, written, "approval", "bob", { text: other.written.text });
          return token;
        },
      ],
      ...[NAMESPACES.request, NAMESPACES.rejection, "file"].map(
        (namespace): [string, () => Promise<string>] => [
          `an owner's signature in the namespace ${namespace} taken for an approval`,
          async () => {
            const { token, written } = await coverOne(db, desk, { approvers: [] });
            await castVote(db, desk, written, "approval", "bob", { namespace });
            return token;
          },
        ],
      ),
      [
        "a plan that was edited after it was signed",
        async () => {
          const { token, line } = await draftOne(db);
          const signed = await writePlanOf(db, [line]);
          const plan = { ...signed.plan, reason: "edited" };
          const edited = { ...signed, plan, ...writePlan(plan) };
          await openRequest(db, edited);
          await markUsed(db, edited);
          await castVote(db, desk, edited, "request", "alice", { text: signed.text });
          await castVote(db, desk, edited, "approval", "bob", { text: signed.text });
          return token;
        },
      ],
      [
        "a plan whose bytes are no longer those of its digest",
        async () => {
          const { token, written } = await coverOne(db, desk);
          await db.query("ALTER TABLE midctl_plan DROP CONSTRAINT midctl_plan_digest_check");
          await withoutGuards(
            db,
            () => db.query("UPDATE midctl_plan SET plan = plan || ' ' WHERE digest = $1", [written.digest]),
            APPROVAL_TABLES,
          );
          return token;
        },
      ],
      [
        "a plan whose end has passed, though the row lives on",
        async () => (await coverOne(db, desk, { terms: { notAfter: "2026-01-01T00:00:00.000Z" } })).token,
      ],
      [
        "a line with other scopes than the row",
        async () => (await coverOne(db, desk, { terms: { scopes: [] } })).token,
      ],
      [
        "a line of another token",
        async () => (await coverOne(db, desk, { terms: { secret: "0".repeat(64) } })).token,
      ],
      ["a plan of break-glass, which pauses and revokes", () => plant({ breakGlass: { ticket: "T-1" } })],
    ])("%s", async (_, make) => {
      const token = await make();

      expect(await decideUnchecked(db, token)).toMatchObject({ ok: true });
      expect(await decide(token)).toEqual(UNAPPROVED);
    });

    test("two keys of one person where the quorum is two", async () => {
      const { token } = await coverOne(db, desk, { approvers: ["bob", ["bob", 1]] });

      expect(await under({ quorum: 2 }, () => decide(token))).toEqual(UNAPPROVED);
      expect(await decide(token)).toMatchObject({ ok: true });
    });

    test("a plan of another database, where the policy names this one", async () => {
      const environment = await requireEnvironment(db);
      const { name, databaseId, kind } = environment;
      const here = await plant({});
      const replayed = await plant({
        environment: { name, live: kind === "live", databaseId: "00000000-0000-4000-8000-000000000000" },
      });

      await under({ databases: [databaseId] }, async () => {
        expect(await decide(here)).toMatchObject({ ok: true });
        expect(await decide(replayed)).toEqual(UNAPPROVED);
      });
    });

    test("looking too, which judges by the same", async () => {
      const [good, bad] = [(await coverOne(db, desk)).token, await issueActive(db, "looked-at")];
      const trust = loadTrust(desk.dir);

      expect(await verifyToken(db, good, "cards:read", { trust })).toMatchObject({ ok: true });
      expect(await verifyToken(db, bad, null, { trust })).toEqual(UNAPPROVED);
      expect(await verifyToken(db, bad, null)).toMatchObject({ ok: true });
    });
  });
});
