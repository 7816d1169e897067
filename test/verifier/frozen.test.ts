import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createAuthenticator, type Decision } from "../../src/index.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { insertLegacy, issueActive, openVerifier } from "./scene.ts";

/** Paths of what could be written to. */
function writable(value: unknown, path = "decision"): string[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, each]) => writable(each, `${path}.${key}`));
  return Object.isFrozen(value) ? inner : [path, ...inner];
}

describe.each(databases())("on $name", ({ create }) => {
  let db: Database;
  let database: TestDatabase;
  let token: string;
  beforeAll(async () => {
    database = await create();
    db = database.db;
    token = await issueActive(db, "deploy-bot", { scopes: ["cards:read"] });
    await db.query(`UPDATE machine_identity SET labels = '{"team":"infra"}' WHERE slug = 'deploy-bot'`);
  });
  afterAll(() => database.dispose());

  test.each([
    ["a good token", () => token],
    ["a legacy token", () => insertLegacy(db, "legacy000001")],
    ["an unknown token", () => "kanagent_never_seen"],
    ["no token", () => ""],
  ])("the decision on %s is frozen, deeply", async (_, tokenOf) => {
    const { authenticate } = createAuthenticator({ db, cache: false });

    const decision = await authenticate(await tokenOf());

    expect(writable(decision)).toEqual([]);
  });

  test("the decision on a missing scope is frozen", async () => {
    const { authenticate } = createAuthenticator({ db, cache: false });

    const decision = await authenticate(token, { scope: "cards:write" });

    expect(decision).toEqual({ ok: false, code: "scope_missing" });
    expect(writable(decision)).toEqual([]);
  });

  test("what a caller tries to write into a kept answer is no later answer", async () => {
    const verifier = await openVerifier(database.direct, token);
    const kept = (await verifier.authenticate(token)) as Decision & {
      scopes: string[];
      actor: { slug: string };
    };

    expect(() => kept.scopes.push("admin")).toThrow(TypeError);
    expect(() => {
      kept.actor.slug = "root";
    }).toThrow(TypeError);

    const later = await verifier.authenticate(token, { scope: "admin" });
    expect(later).toEqual({ ok: false, code: "scope_missing" });
    expect(await verifier.authenticate(token)).toMatchObject({ actor: { slug: "deploy-bot" } });
    await verifier.close();
  });
});
