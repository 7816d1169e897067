import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { migrate, readSchemaState } from "../../src/db/migrate.ts";
import { previewPush } from "../../src/operations/db-push.ts";
import { insert, legacyToken, setIdentity } from "../guards/scene.ts";
import { type DatabaseFactory, postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { issueActive, LEASE_MS, openVerifier, pause } from "../verifier/scene.ts";
import { findingsOf, isEmpty, kill, PLACE, readRows, type Stage, setStage, tapped } from "./push-scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const [newest] = postgresDatabases();
if (newest === undefined) throw new Error("no PostgreSQL server");
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

describe("a push is refused, and changes nothing on either side,", () => {
  let before: Record<string, string[]>;
  beforeEach(async () => {
    await set();
    before = await readRows(source);
  });
  afterEach(async () => {
    expect(await readRows(source)).toEqual(before);
  });

  test("where the target has identities, with counts", async () => {
    await migrate(target.db);
    await issueActive(target.db, "theirs");

    await expect(push()).rejects.toMatchObject({
      code: "conflict",
      details: { identities: 1, credentials: 1, tokens: 1, events: 0 },
    });
    expect(await target.db.query("SELECT slug FROM machine_identity")).toEqual([{ slug: "theirs" }]);
  });

  test.each([
    ["a token", legacyToken("legacy000009")],
    ["an agent event", insert("agent_audit_event", { publicId: "'event0000009'", action: "'x'" })],
    ["a name", "UPDATE midctl_environment SET name = 'staging', named = true"],
  ])("where the target has %s", async (_, statement) => {
    await migrate(target.db);
    await target.db.query(statement);
    const theirs = await readRows(target);

    await expect(push()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("The target is not empty"),
    });
    expect(await readRows(target)).toEqual(theirs);
  });

  test("where the target filled while it was looked at", async () => {
    await migrate(target.db);
    const watched = tapped(target.db, {
      async before(text) {
        if (text.startsWith("LOCK TABLE")) await runSql(target.url ?? "", legacyToken("legacy000009"));
      },
    });

    await expect(push(source.db, watched)).rejects.toMatchObject({
      code: "conflict",
      details: { tokens: 1 },
    });
  });

  test("where the target is an application's", async () => {
    await target.db.transaction((tx) => tx.script(KAN));

    await expect(push()).rejects.toMatchObject({
      code: "conflict",
      details: { foreign: ["agent_token", "agent_audit_event"] },
    });
    expect(await readSchemaState(target.db)).toMatchObject({ state: "absent" });
  });

  test("where source and target are the same database", async () => {
    await expect(push(source.db, source.db)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("the very database"),
    });
  });

  test("where a verifier decides by the source, which is named", async () => {
    const verifier = await openVerifier(source.direct, stage.good);
    before = await readRows(source);

    await expect(push()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/^The verifier \S+ decides by this database/),
    });
    await verifier.close();
  });

  test("where a verifier came while it was prepared", async () => {
    const watched = tapped(source.db, {
      async before(text) {
        if (!text.startsWith("LOCK TABLE")) return;
        await runSql(
          source.url ?? "",
          `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'late', 3000, 0)`,
        );
      },
    });

    await expect(push(watched)).rejects.toMatchObject({ code: "conflict", details: { verifier: "late" } });
    expect(await isEmpty(target)).toBe(true);
  });

  test("where the target's session ends in the midst of it; the next one succeeds", async () => {
    let killed = false;
    const watched = tapped(target.db, {
      async before(text, tx) {
        if (!text.startsWith("INSERT INTO midctl_log ")) return;
        killed = true;
        await kill(target, tx);
      },
    });

    await expect(push(source.db, watched)).rejects.toMatchObject({ code: "unavailable" });

    expect(killed).toBe(true);
    expect(await isEmpty(target)).toBe(true);
    expect(await findingsOf(target)).toEqual([]);
    expect(await readRows(source)).toEqual(before);
    expect(await push()).toBe(true);
    before = await readRows(source);
  });

  test.each([
    ["machine_identity", "svc", "another"],
    ["agent_audit_event", "card.move", "card.drop"],
  ])("where a row of %s arrives altered", async (table, what, becomes) => {
    const altering = tapped(target.db, {
      alter: (text, param) =>
        text.startsWith(`INSERT INTO ${table} `) ? String(param).replace(`"${what}"`, `"${becomes}"`) : param,
    });

    await expect(push(source.db, altering)).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining(`The copy of ${table} is not the same`),
    });
    expect(await isEmpty(target)).toBe(true);
  });
});

test("the lease of a verifier that died is waited for, and stops nothing", async () => {
  await set();
  await source.db.query(
    `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'dead', ${LEASE_MS}, 0)`,
  );

  expect(await push()).toBe(true);
});

describe("a push whose source fell after the target's commit", () => {
  beforeEach(async () => {
    await set();
    let begun = false;
    const falling = tapped(source.db, {
      before(text) {
        begun ||= text.startsWith("LOCK TABLE");
      },
      commit: (tx) => (begun ? kill(source, tx) : undefined),
    });
    await expect(push(falling)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("both may take changes"),
      hint: expect.stringContaining("Run midctl db push again"),
      details: { target: "committed" },
    });
  });

  test("is finished by the next, whatever went on in the target", async () => {
    await issueActive(target.db, "newcomer");
    const theirs = await readRows(target);

    expect(await previewPush({ source: source.db, target: target.db, place: PLACE })).toMatchObject({
      target: "copied",
    });
    expect(await push()).toBe(true);

    expect(await readRows(target)).toEqual(theirs);
    await expect(pause(source.db, "bot")).rejects.toMatchObject({ details: { movedTo: PLACE } });
    expect(await push()).toBe(false);
  });

  test.each([
    ["a change", setIdentity("svc", "status = 'paused'")],
    ["an agent event", insert("agent_audit_event", { publicId: "'event0000009'", action: "'x'" })],
  ])("is refused once the source saw %s of its own", async (_, statement) => {
    await source.db.query(statement);

    await expect(push()).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("gone different ways"),
    });
  });
});
