import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { type AuditQuery, listAudit } from "../../src/operations/audit-list.ts";
import type { AuditEvent } from "../../src/repository/log.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

type Filter = Omit<AuditQuery, "limit" | "cursor">;

/** Under which identities stand: top over mid over low, and other beside them. */
const PARENTS: Readonly<Record<string, string | null>> = { top: null, mid: "top", low: "mid", other: null };

/** What somebody did, in a transaction of its own. */
function act(db: Database, actor: string, reason: string | null, ...statements: string[]) {
  return db.transaction(async (tx) => {
    const context = JSON.stringify({ actor: { kind: "operator", name: actor }, reason });
    await tx.query("SELECT set_config('midctl.context', $1, true)", [context]);
    for (const statement of statements) await tx.query(statement);
  });
}

const credentialId = (slug: string) => slug.padEnd(12, "0");

const insertIdentity = (slug: string) =>
  `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "parentId")
   SELECT '${`id${slug}`.padEnd(12, "0")}', '${slug}', '${slug}', 'service', 'ops', (SELECT id FROM machine_identity WHERE slug = '${PARENTS[slug]}')`;
const insertCredential = (slug: string) => [
  `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", "tokenHash", "activationDeadline")
   SELECT '${credentialId(slug)}', id, encode(sha256('${slug}'), 'hex'), midctl_now() + interval '1 day' FROM machine_identity WHERE slug = '${slug}'`,
  `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
   SELECT "publicId", 'token', 'mid_test', "tokenHash", "machineIdentityId" FROM machine_identity_credential WHERE "publicId" = '${credentialId(slug)}'`,
];
const setStatus = (slug: string, status: string) =>
  `UPDATE machine_identity SET status = '${status}' WHERE slug = '${slug}'`;
const insertEvent = (
  id: string,
  token: string,
  action: string,
  at: string,
  metadata = "NULL",
  attributed = true,
) =>
  `INSERT INTO agent_audit_event ("publicId", "agentTokenId", "machineIdentityId", action, "entityType", "entityId", metadata, "createdAt")
   SELECT '${id}', id, ${attributed ? `"machineIdentityId"` : "NULL"}, '${action}', 'card', '${id}', ${metadata}, ${at} FROM agent_token WHERE "publicId" = '${token}'`;

describe.each(databases())("the audit, narrowed down on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  let all: readonly AuditEvent[];
  /** A moment with events on both sides of it. */
  let middle: string;

  beforeAll(async () => {
    database = await factory.create();
    ({ db } = database);
    await db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('legacy000001', 'old', 'kan', repeat('0a', 32))`,
    );
    for (const [n, slug] of Object.keys(PARENTS).entries()) {
      await act(
        db,
        n % 2 === 0 ? "alice" : "bob",
        `ticket INC-${n}`,
        insertIdentity(slug),
        ...insertCredential(slug),
      );
    }
    await act(db, "bob", "100%_odd\\ WRITES", setStatus("mid", "paused"));
    await act(
      db,
      "alice",
      null,
      setStatus("mid", "active"),
      `UPDATE agent_token SET "revokedAt" = midctl_now() WHERE "publicId" = 'legacy000001'`,
    );
    const now = "midctl_now()";
    for (const [n, slug] of ["low", "mid", "other", "low"].entries()) {
      const id = `ev${n}`.padEnd(12, "0");
      await act(
        db,
        "host",
        null,
        insertEvent(
          id,
          credentialId(slug),
          n % 2 === 0 ? "card.move" : "card.delete",
          now,
          `'{"to":"Done ${n}"}'`,
        ),
      );
    }
    // From before its token had an identity; and three within a millisecond, in another order than they were numbered.
    await act(
      db,
      "host",
      null,
      insertEvent(
        "unattributed",
        credentialId("low"),
        "card.move",
        `${now} - interval '1 hour'`,
        "NULL",
        false,
      ),
    );
    for (const micros of [300, 100, 200]) {
      await act(
        db,
        "host",
        null,
        insertEvent(
          `micro${micros}0000`,
          "legacy000001",
          "card.move",
          `date_trunc('second', ${now}) + interval '${micros} microseconds'`,
        ),
      );
    }
    await act(db, "bob", "enough", setStatus("other", "revoked"));
    all = (await listAudit(db, { limit: 1000 })).events;
    middle = all[Math.floor(all.length / 2)]?.at ?? "";
  });
  afterAll(() => database?.dispose());

  /** Every event that fits, page after page of two. */
  async function read(filter: Filter): Promise<string[]> {
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof listAudit>> = await listAudit(db, {
        ...filter,
        limit: 2,
        ...(cursor === null ? {} : { cursor }),
      });
      ids.push(...page.events.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    return ids;
  }

  const about =
    (...slugs: string[]) =>
    (event: AuditEvent) =>
      slugs.includes(event.machineIdentity?.slug ?? "");
  const by = (name: string) => (event: AuditEvent) => event.actor.name === name;
  const text = (event: AuditEvent) =>
    JSON.stringify([event.reason, event.details.entityType, event.details.entityId, event.details]);

  const FILTERS: [string, Filter, (event: AuditEvent) => boolean][] = [
    ["nothing", {}, () => true],
    ["an identity", { identity: "mid" }, about("mid")],
    ["an identity, events before it was one included", { identity: "low" }, about("low")],
    ["an identity and all below it", { identity: "top", descendants: true }, about("top", "mid", "low")],
    [
      "a credential",
      { credential: credentialId("low") },
      (event) => event.credential === `mc_${credentialId("low")}`,
    ],
    ["a legacy token", { credential: "legacy000001" }, (event) => event.credential === "at_legacy000001"],
    ["an operator", { actor: "alice" }, by("alice")],
    ["an agent by slug", { actor: "low" }, by("low")],
    ["an agent without identity", { actor: "at_legacy000001" }, by("at_legacy000001")],
    ["nobody", { actor: "ali%" }, () => false],
    ["an action", { action: "identity.pause" }, ({ action }) => action === "identity.pause"],
    ["actions of both sides", { action: "c*" }, ({ action }) => action.startsWith("c")],
    ["no pattern but the star", { action: "c_rd%" }, () => false],
    ["what a reason says", { grep: "inc-1" }, (event) => event.reason === "ticket INC-1"],
    ["literal text", { grep: "100%_ODD\\" }, (event) => event.reason?.startsWith("100%") === true],
    ["what metadata say", { grep: "DONE 2" }, (event) => text(event).includes("Done 2")],
    ["what entities are called", { grep: "MICRO" }, (event) => text(event).includes("micro")],
    [
      "identity and action",
      { identity: "mid", action: "identity.*" },
      (e) => about("mid")(e) && e.action.startsWith("identity."),
    ],
    [
      "tree and actor",
      { identity: "top", descendants: true, actor: "alice" },
      (e) => about("top", "mid", "low")(e) && by("alice")(e),
    ],
    [
      "tree, action and text",
      { identity: "top", descendants: true, action: "card.*", grep: "done" },
      (e) => about("top", "mid", "low")(e) && text(e).includes("Done"),
    ],
    [
      "credential and actor",
      { credential: credentialId("low"), actor: "low" },
      (e) => e.credential === `mc_${credentialId("low")}` && by("low")(e),
    ],
  ];

  test.each(FILTERS)(
    "by %s gives what fits, each once and in order, on pages of two",
    async (_, filter, fits) => {
      expect(await read(filter)).toEqual(all.filter(fits).map(({ id }) => id));
    },
  );

  test.each(FILTERS)(
    "by %s and times gives what happened from the first until just before the last",
    async (_, filter, fits) => {
      const [since, until] = [all.at(-3)?.at ?? "", all.at(2)?.at ?? ""];

      expect(await read({ ...filter, since, until })).toEqual(
        all.filter((event) => fits(event) && event.at >= since && event.at < until).map(({ id }) => id),
      );
    },
  );

  test("splits at a moment without a gap and without an overlap", async () => {
    expect([...(await read({ since: middle })), ...(await read({ until: middle }))]).toEqual(
      all.map(({ id }) => id),
    );
  });

  test("an identity that there is not is not found, and near ones are named", async () => {
    await expect(listAudit(db, { identity: "othe", limit: 5 })).rejects.toMatchObject({
      code: "not_found",
      hint: "Did you mean other?",
    });
  });

  test("a credential that nobody ever heard of is not found", async () => {
    const mistyped = `${credentialId("mid").slice(0, -1)}x`;

    await expect(listAudit(db, { credential: mistyped, limit: 5 })).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringContaining(`mc_${mistyped}`),
      hint: `Did you mean mc_${credentialId("mid")}?`,
    });
  });

  test("a credential to which nothing happened that fits is no mistake", async () => {
    for (const credential of [credentialId("mid"), "legacy000001"]) {
      const page = await listAudit(db, { credential, action: "identity.revoke", limit: 5 });

      expect(page.events).toEqual([]);
    }
  });

  test.each([
    "0000-01-01T00:00:00.000Z",
    "2026-13-01T00:00:00.000Z",
    "2026-02-31T00:00:00.000Z",
    "2026-01-01T24:00:00.000Z",
  ])("a cursor of %s, which is no moment, is bad usage", async (at) => {
    const forged = Buffer.from(JSON.stringify(["audit", at, "0", "1"])).toString("base64url");

    await expect(listAudit(db, { limit: 5, cursor: forged })).rejects.toMatchObject({ code: "usage" });
  });

  test("a cursor that this list did not write is bad usage, and the hint names no option that it has not", async () => {
    const forged = Buffer.from(JSON.stringify(["audit", "now", "2", "x"])).toString("base64url");

    await expect(listAudit(db, { limit: 5, cursor: forged })).rejects.toMatchObject({
      code: "usage",
      hint: expect.not.stringContaining("--sort"),
    });
  });
});
