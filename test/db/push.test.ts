import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { COPIED_TABLES, LEFT_TABLES } from "../../src/db/copy.ts";
import { migrate, readSchemaState } from "../../src/db/migrate.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { readReadiness } from "../../src/operations/readiness.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { setIdentity } from "../guards/scene.ts";
import { type DatabaseFactory, postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { issueActive, pause, revoke, until } from "../verifier/scene.ts";
import { findingsOf, PLACE, readLog, readRows, type Stage, setStage, tapped } from "./push-scene.ts";

const [newest, oldest = newest] = postgresDatabases();
if (newest === undefined || oldest === undefined) throw new Error("no PostgreSQL server");
const FIRST = newest;

let stage: Stage;
let source: TestDatabase;
let target: TestDatabase;
let push: Stage["push"];

async function set(from: DatabaseFactory = FIRST, to: DatabaseFactory = from): Promise<void> {
  stage = await setStage(from, to);
  ({ source, target, push } = stage);
}
afterEach(() => stage.dispose());

describe.each([
  ["a database to another of the same server", newest, newest],
  ["to a server of another version", newest, oldest],
  ["to a newer server", oldest, newest],
])("a push of %s", (_, from, to) => {
  beforeEach(async () => {
    await set(from, to);
  });

  test("takes every row along, and the log to the byte", async () => {
    const before = await readLog(source);

    expect(await push()).toBe(true);

    expect(await readRows(target)).toEqual(await readRows(source));
    expect((await readLog(target)).slice(0, before.length)).toEqual(before);
    expect(await findingsOf(target)).toEqual([]);
  });

  test("leaves every secret what it was, and lets life go on where it now is", async () => {
    await push();
    const { authenticate } = createAuthenticator({ db: target.db, cache: false });

    expect(await authenticate(stage.good)).toMatchObject({ ok: true, actor: { slug: "bot" } });
    expect(await authenticate(stage.gone)).toEqual({ ok: false, code: "identity_revoked" });
    await issueActive(target.db, "newcomer");
    await revoke(target.db, "bot");
    expect(await authenticate(stage.good)).toEqual({ ok: false, code: "identity_revoked" });
    expect(await findingsOf(target)).toEqual([]);
  });
});

describe("a push", () => {
  beforeEach(async () => {
    await set();
  });

  test("leaves a database where no token is decided on: it would hear of no revocation", async () => {
    await push();
    const { authenticate } = createAuthenticator({ db: source.db, cache: false });

    expect(await authenticate(stage.good)).toEqual({ ok: false, code: "unavailable" });
    await expect(verifyToken(source.db, stage.good, null)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("moved"),
    });
    expect(await readReadiness(source.db)).toBe("moved");
  });

  test("is an entry of the log: the last here, and the one that the new place goes on from", async () => {
    const before = await readLog(source);

    await push();

    const log = await readLog(source);
    expect(log).toHaveLength(before.length + 1);
    expect(await readLog(target)).toEqual(log);
    expect(JSON.parse(log.at(-1)?.entry ?? "")).toMatchObject({
      action: "environment.move",
      actor: { name: "alice" },
      details: { movedTo: PLACE },
    });
  });

  test("keeps the database id", async () => {
    const id = () => source.db.query(`SELECT "databaseId" FROM midctl_environment`);
    const before = await id();

    await push();

    expect(await target.db.query(`SELECT "databaseId" FROM midctl_environment`)).toEqual(before);
  });

  test("fills a schema that is there and empty", async () => {
    await migrate(target.db);

    await push();

    expect(await readRows(target)).toEqual(await readRows(source));
  });

  test("knows of every table whether it goes", async () => {
    const tables = await source.db.query<{ name: string }>(
      "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );

    expect(tables.map(({ name }) => name).sort()).toEqual([...COPIED_TABLES, ...LEFT_TABLES].sort());
  });

  test("carries many and long rows in statements of bounded length", async () => {
    await source.db.query(
      `INSERT INTO agent_audit_event ("publicId", action, metadata) SELECT lpad(n::text, 12, 'x'), 'x', repeat('long ', 6000) FROM generate_series(1, 500) n`,
    );
    const lengths: number[] = [];
    const watched = tapped(target.db, {
      alter(_, param) {
        lengths.push(String(param).length);
        return param;
      },
    });

    await push(source.db, watched);

    expect(await readRows(target)).toEqual(await readRows(source));
    expect(Math.max(...lengths)).toBeLessThan(6_000_000);
  });
});

describe("the database that has moved", () => {
  beforeEach(async () => {
    await set();
  });

  test("refuses every change, and says where to make it", async () => {
    await push();

    const refused = {
      code: "conflict",
      message: expect.stringContaining(PLACE),
      hint: expect.stringContaining(
        "midctl context set NAME --use --database-url 'postgres://USER@db.example/team'",
      ),
    };
    await expect(pause(source.db, "bot")).rejects.toMatchObject(refused);
    await expect(revoke(source.db, "bot")).rejects.toMatchObject(refused);
    await expect(issueActive(source.db, "newcomer")).rejects.toMatchObject(refused);
    expect(await readRows(source)).toEqual(await readRows(target));
  });

  test.each([
    ["of an identity", setIdentity("svc", "status = 'paused'")],
    [
      "of a credential",
      `UPDATE machine_identity_credential SET status = 'revoked' WHERE "publicId" = 'active000001'`,
    ],
    [
      "of a legacy token's end",
      `UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'legacy000001'`,
    ],
    ["of the environment", "UPDATE midctl_environment SET name = 'staging', named = true"],
    ["of where it moved", `UPDATE midctl_environment SET "movedTo" = NULL`],
    [
      "as a replica",
      `SET LOCAL session_replication_role = replica; ${setIdentity("svc", "status = 'paused'")}`,
    ],
  ])("refuses a change %s by hand-written SQL", async (_, statement) => {
    await push();

    await expect(source.db.transaction((tx) => tx.script(statement))).rejects.toMatchObject({
      code: "conflict",
      details: { movedTo: PLACE, sqlState: "MC004" },
    });
  });

  test("refuses whoever was waiting while it moved", async () => {
    let waiting: Promise<unknown> = Promise.resolve();
    const watched = tapped(target.db, {
      async before(text) {
        if (!text.startsWith("INSERT INTO midctl_log ")) return;
        waiting = pause(source.db, "bot").catch((error: unknown) => error);
        await until(async () => {
          const blocked = await source.db.query("SELECT FROM pg_locks WHERE NOT granted");
          return blocked.length > 0;
        });
      },
    });

    await push(source.db, watched);

    expect(await waiting).toMatchObject({ code: "conflict", details: { movedTo: PLACE } });
  });

  test("is found by doctor, and named in its environment", async () => {
    await push();

    const { findings } = await diagnose(source.db, Date.now);
    expect(findings).toContainEqual(
      expect.objectContaining({ check: "environment", message: expect.stringContaining(PLACE) }),
    );
  });

  test("is not moved again: the same push changes nothing, another is refused", async () => {
    await push();
    const other = await newest.createBare();

    expect(await push()).toBe(false);
    await expect(push(source.db, other.db)).rejects.toMatchObject({
      code: "conflict",
      details: { movedTo: PLACE },
    });
    expect(await readSchemaState(other.db)).toMatchObject({ state: "absent" });
    await other.dispose();
  });
});
