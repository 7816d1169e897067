import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import {
  type Authenticator,
  type AuthenticatorOptions,
  createAuthenticator,
  type Demand,
} from "../../src/index.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { issueActive, openVerifier } from "./scene.ts";

const hostile = {
  get scope(): string {
    throw new Error("a getter's own error");
  },
};

/** What JavaScript lets a host write where it means to demand something. */
const MISTAKEN: readonly [string, unknown][] = [
  ["an undefined scope", { scope: undefined }],
  ["a null scope", { scope: null }],
  ["an empty scope", { scope: "" }],
  ["a number for a scope", { scope: 5 }],
  ["a list for a scope", { scope: ["admin"] }],
  ["another field", { scopes: ["admin"] }],
  ["another field beside it", { scope: "cards:read", audience: "x" }],
  ["a bare scope", "admin"],
  ["a list", ["admin"]],
  ["an empty list", []],
  ["a map", new Map([["scope", "admin"]])],
  ["null", null],
  ["a function", () => "admin"],
  ["a getter that throws", hostile],
  ["a proxy that throws", new Proxy({}, { ownKeys: () => JSON.parse("!") })],
];

describe.each(databases())("on $name", ({ create }) => {
  let db: Database;
  let database: TestDatabase;
  let token: string;
  const verifiers: Record<string, Authenticator> = {};
  beforeAll(async () => {
    database = await create();
    db = database.db;
    token = await issueActive(db, "deploy-bot", { scopes: ["*"] });
    verifiers.cached = await openVerifier(database.direct, token, 60_000);
    verifiers.uncached = createAuthenticator({ db, cache: false });
  });
  afterAll(async () => {
    await verifiers.cached?.close();
    await database.dispose();
  });

  describe.each(["cached", "uncached"])("%s, a demand that cannot be understood is never met:", (kind) => {
    test.each(MISTAKEN)("%s", async (_, demand) => {
      const decision = await verifiers[kind]?.authenticate(token, demand as Demand);

      expect(decision).toEqual({ ok: false, code: "scope_missing" });
    });

    test.each<[string, Demand | undefined]>([
      ["none", undefined],
      ["an empty one", {}],
      ["one without a prototype", Object.assign(Object.create(null) as object, { scope: "cards:read" })],
    ])("%s is", async (_, demand) => {
      expect(await verifiers[kind]?.authenticate(token, demand)).toMatchObject({ ok: true });
    });
  });
});

describe("an authenticator is not made with", () => {
  const db = {
    query: async () => [],
    transaction: async () => undefined,
    listen: async () => undefined,
    close: async () => undefined,
  } as unknown as Database;

  test.each<[string, unknown, string]>([
    ["a lease that is text", { db, cache: { leaseMs: "3000" } }, "cache.leaseMs"],
    ["negative room", { db, cache: { entries: -5 } }, "cache.entries"],
    ["room that is no number", { db, cache: { entries: Number.NaN } }, "cache.entries"],
    ["a misspelt option of the cache", { db, cache: { leaseMS: 100 } }, "cache"],
    ["a word for a cache", { db, cache: "x" }, "cache"],
    ["null for a cache", { db, cache: null }, "cache"],
    ["a misspelt option", { db, caching: false }, "The options"],
    ["a patience that no timer takes", { db, patience: Number.POSITIVE_INFINITY }, "patience"],
    ["a name that is none", { db, name: 5 }, "A verifier's name"],
    ["a transaction", { db: { query: async () => [] } }, "db"],
    ["no database", {}, "db"],
    ["nothing", undefined, "The options"],
  ])("%s", (_, options, named) => {
    const make = () => createAuthenticator(options as AuthenticatorOptions);

    expect(make).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(new RegExp(`^${named}\\b`)) }),
    );
  });
});
