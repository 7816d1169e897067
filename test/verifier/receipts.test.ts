import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Tx } from "../../src/db/database.ts";
import { loadTrust } from "../../src/operations/approval/trust-dir.ts";
import { decide, quickHash } from "../../src/operations/decide.ts";
import { Receipts } from "../../src/operations/verifier/receipts.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { castVote, openTrustDesk, type TrustDesk } from "../support/trust.ts";
import { coverOne, draftOne, OWNERS, requestCarriedOut } from "./trust-scene.ts";

const [postgres] = databases();

describe("what is remembered of plans", () => {
  let database: TestDatabase;
  let desk: TrustDesk;
  beforeAll(async () => {
    database = (await postgres?.create()) as TestDatabase;
    desk = openTrustDesk(OWNERS);
  });
  afterAll(async () => {
    desk?.dispose();
    await database?.dispose();
  });

  /** Statements by the table that they are about. */
  let asked = { digests: 0, plans: 0 };
  let clock = 0;
  let wall = 0;
  beforeEach(() => {
    wall = Date.now();
    asked = { digests: 0, plans: 0 };
    clock = 0;
  });

  function open(room?: number): { receipts: Receipts; ask(token: string): Promise<string> } {
    const db: Tx = {
      query: (text, params) => {
        if (text.includes("FROM midctl_plan")) asked.plans++;
        else asked.digests++;
        return database.db.query(text, params);
      },
    };
    const trust = loadTrust(desk.dir);
    const receipts = new Receipts(db, {
      patience: 10_000,
      now: () => clock,
      wall: () => wall,
      ...(room === undefined ? {} : { room }),
    });
    return {
      receipts,
      async ask(token) {
        const looked = await decide(database.db, token, null);
        const { decision } = await receipts.judge(trust, quickHash(token), looked, null);
        return decision.ok ? "accepted" : decision.code;
      },
    };
  }

  test("a plan that was seen costs no statement", async () => {
    const { token } = await coverOne(database.db, desk);
    const { ask } = open();
    await ask(token);
    const seen = { ...asked };

    await ask(token);

    expect([seen, asked]).toEqual([
      { digests: 1, plans: 1 },
      { digests: 1, plans: 1 },
    ]);
  });

  test("a signed end passes by this clock too, five minutes late, wherever the database's stands", async () => {
    const ends = Date.now() + 86_400_000;
    const { token } = await coverOne(database.db, desk, {
      terms: { notAfter: new Date(ends).toISOString() },
    });
    const { ask, receipts } = open();
    await ask(token);

    wall = ends + 5 * 60_000 - 1;
    const before = await ask(token);
    wall = ends + 5 * 60_000;
    const after = await ask(token);

    expect([before, after]).toEqual(["accepted", "unapproved"]);
    expect(receipts.counters.verified).toBe(1);
  });

  test("what is left of a signed end is told by the later of the clocks", async () => {
    const ends = Date.now() + 86_400_000;
    const { token } = await coverOne(database.db, desk, {
      terms: { notAfter: new Date(ends).toISOString() },
    });
    const { receipts } = open();
    wall = ends;
    const looked = await decide(database.db, token, null);

    const { notAfter, at } = await receipts.judge(loadTrust(desk.dir), quickHash(token), looked, null);

    expect(notAfter - at).toBe(5 * 60_000);
  });

  test("tokens that come together are asked for in one statement, and their plan in one", async () => {
    const drafts = [await draftOne(database.db), await draftOne(database.db)];
    await requestCarriedOut(
      database.db,
      desk,
      drafts.map(({ line }) => line),
    );
    const { receipts } = open();
    const trust = loadTrust(desk.dir);
    const looked = await Promise.all(
      drafts.map(async ({ token }) => ({ token, looked: await decide(database.db, token, null) })),
    );

    await Promise.all(
      looked.map(({ token, looked }) => receipts.judge(trust, quickHash(token), looked, null)),
    );

    expect(asked).toEqual({ digests: 1, plans: 1 });
    expect(receipts.counters).toEqual({ verified: 1, insufficient: 0, kept: 1 });
  });

  test("a plan that is short of signatures is judged once a second, however often its token comes", async () => {
    const { token, written } = await coverOne(database.db, desk, { approvers: ["mallory"], quorum: 2 });
    const { receipts, ask } = open();
    const first = await ask(token);
    await castVote(database.db, desk, written, "approval", "bob");
    clock = 999;
    const within = await ask(token);
    const judged = receipts.counters.insufficient;
    clock = 1000;
    const later = await ask(token);

    expect([first, within, later]).toEqual(["unapproved", "unapproved", "accepted"]);
    expect([judged, receipts.counters]).toEqual([1, { verified: 1, insufficient: 1, kept: 1 }]);
  });

  test("plans beyond the room go, those that nobody asks for first", async () => {
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => coverOne(database.db, desk)));
    const [used, unused, newest] = [a, b, c].map((covered) => covered?.token ?? "") as [
      string,
      string,
      string,
    ];
    const bytes = Buffer.byteLength(a?.written.text ?? "");
    const { receipts, ask } = open(Math.floor(bytes * 2.5));
    for (const token of [used, unused, used, newest]) await ask(token);
    const before = asked.plans;

    await ask(used);
    await ask(newest);
    const stayed = asked.plans - before;
    await ask(unused);

    expect([stayed, asked.plans - before, receipts.counters.kept]).toEqual([0, 1, 2]);
  });

  test("a plan larger than all the room is kept alone", async () => {
    const [small, large] = [await coverOne(database.db, desk), await coverOne(database.db, desk)];
    const { receipts, ask } = open(10);

    expect(await ask(small.token)).toBe("accepted");
    expect(await ask(large.token)).toBe("accepted");
    await ask(large.token);

    expect([asked.plans, receipts.counters.kept]).toEqual([2, 1]);
  });

  test("what a plan that went had covered is asked for anew", async () => {
    const [gone, kept] = [await coverOne(database.db, desk), await coverOne(database.db, desk)];
    const { ask } = open(10);
    for (const token of [gone.token, gone.token, kept.token]) await ask(token);

    await ask(gone.token);

    expect(asked.plans).toBe(3);
  });
});
