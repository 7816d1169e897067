import { drizzle as drizzlePglite } from "drizzle-orm/pglite";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DrizzleHandle } from "../../src/db/drizzle.ts";
import { machineIdentity } from "../../src/db/schema.ts";
import {
  createAuthenticator,
  type HostTransaction,
  issueCredential,
  MidctlError,
  pause,
  resume,
  revoke,
  rotateCredential,
} from "../../src/index.ts";
import { showIdentity } from "../../src/operations/identity-show.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

/** A host's own drizzle handle, on a connection of its own. */
function openHost(database: TestDatabase): { handle: DrizzleHandle; close: () => Promise<void> } {
  if (database.pglite !== null) {
    return { handle: drizzlePglite({ client: database.pglite }) as DrizzleHandle, close: async () => {} };
  }
  const client = postgres(socketOptions(database.directUrl ?? ""));
  return { handle: drizzlePostgres({ client }) as DrizzleHandle, close: () => client.end() };
}

function socketOptions(url: string): postgres.Options<Record<string, never>> {
  const parts = /^postgres:\/\/([^@]+)@([^/]+)\/(.+)$/.exec(url) ?? [];
  const [, username = "", host = "", pathname = ""] = parts;
  const [directory, port] = host.split(":");
  return {
    host: decodeURIComponent(directory ?? ""),
    port: Number(port),
    user: username,
    database: pathname,
    max: 2,
    onnotice: () => {},
  };
}

describe.each(databases())("inside a host's own transaction on $name", (factory) => {
  let database: TestDatabase;
  let host: ReturnType<typeof openHost>;

  beforeAll(async () => {
    database = await factory.create();
    host = openHost(database);
  });
  afterAll(async () => {
    await host.close();
    await database.dispose();
  });

  test("a credential is good once the host has committed", async () => {
    const { authenticate } = createAuthenticator({ db: database.db });

    const { token } = await host.handle.transaction((tx) =>
      issueCredential(tx, {
        identity: { slug: "committed", owner: "host" },
        actor: "alice",
        scopes: ["cards:read"],
      }),
    );

    expect(await authenticate(token, { scope: "cards:read" })).toMatchObject({
      ok: true,
      actor: { slug: "committed", owner: "host" },
      credential: { effectiveStatus: "active" },
    });
    expect(await authenticate(token, { scope: "cards:write" })).toEqual({ ok: false, code: "scope_missing" });
  });

  test("a credential is unknown where the host rolled back, and so is its identity", async () => {
    const { authenticate } = createAuthenticator({ db: database.db });
    let token = "";

    await expect(
      host.handle.transaction(async (tx) => {
        ({ token } = await issueCredential(tx, {
          identity: { slug: "undone", owner: "host" },
          actor: "alice",
        }));
        throw new Error("the host changed its mind");
      }),
    ).rejects.toThrow("changed its mind");

    expect(await authenticate(token)).toEqual({ ok: false, code: "unknown" });
    expect(await host.handle.select().from(machineIdentity)).not.toContainEqual(
      expect.objectContaining({ slug: "undone" }),
    );
  });

  test("a rotation in the host's transaction leaves the old token good until the new one is used", async () => {
    const { authenticate } = createAuthenticator({ db: database.db });
    const { token: old } = await host.handle.transaction((tx) =>
      issueCredential(tx, { identity: { slug: "rotated", owner: "host" }, actor: "alice" }),
    );
    await authenticate(old);

    const { token: next } = await host.handle.transaction((tx) =>
      rotateCredential(tx, { identity: "rotated", actor: "alice", grace: 0 }),
    );
    const before = await authenticate(old);
    const proven = await authenticate(next);

    expect([before.ok, proven.ok]).toEqual([true, true]);
    expect(await authenticate(old)).toEqual({ ok: false, code: "superseded" });
  });

  test("what the rules forbid is a MidctlError, so that the host rolls back", async () => {
    await host.handle.transaction((tx) =>
      issueCredential(tx, { identity: { slug: "twice", owner: "host" }, actor: "alice" }),
    );

    const second = host.handle.transaction((tx) =>
      issueCredential(tx, { identity: "twice", actor: "alice" }),
    );

    await expect(second).rejects.toBeInstanceOf(MidctlError);
    await expect(second).rejects.toMatchObject({ code: "conflict" });
  });

  describe("a handle that is no transaction", () => {
    const HANDLES: [string, () => HostTransaction][] = [
      // @ts-expect-error: neither is a transaction by its type
      ["a pool", () => database.db],
      // @ts-expect-error
      ["drizzle's root handle", () => host.handle],
    ];

    test.each(HANDLES)("%s leaves nothing behind, and is told", async (_, handle) => {
      const issued = issueCredential(handle(), {
        identity: { slug: "halved", owner: "host" },
        actor: "alice",
      });

      await expect(issued).rejects.toMatchObject({
        code: "usage",
        message: "No credential was issued: the handle given is no transaction.",
      });
      expect(await database.db.query("SELECT FROM machine_identity WHERE slug = 'halved'")).toEqual([]);
    });

    test.each(HANDLES)("%s rotates, pauses, resumes and revokes nothing", async (kind, handle) => {
      const slug = kind === "a pool" ? "whole-a" : "whole-b";
      const { authenticate } = createAuthenticator({ db: database.db, cache: false });
      const { token } = await host.handle.transaction((tx) =>
        issueCredential(tx, { identity: { slug, owner: "host" }, actor: "alice" }),
      );
      await authenticate(token);

      const attempts = await Promise.allSettled([
        rotateCredential(handle(), { identity: slug, actor: "alice" }),
        pause(handle(), { ref: slug, actor: "alice" }),
        resume(handle(), { ref: slug, actor: "alice" }),
        revoke(handle(), { ref: slug, actor: "alice" }),
      ]);

      expect(attempts.map((attempt) => attempt.status === "rejected" && String(attempt.reason))).toEqual([
        "MidctlError: No credential was issued: the handle given is no transaction.",
        "MidctlError: Nothing was paused: the handle given is no transaction.",
        "MidctlError: Nothing was resumed: the handle given is no transaction.",
        "MidctlError: Nothing was revoked: the handle given is no transaction.",
      ]);
      expect(await authenticate(token)).toMatchObject({ ok: true });
      expect((await showIdentity(database.db, slug)).credentials).toHaveLength(1);
    });
  });

  test("a savepoint inside of the host's transaction will do", async () => {
    const { credential } = await host.handle.transaction((tx) =>
      tx.transaction((nested) =>
        issueCredential(nested, { identity: { slug: "nested", owner: "host" }, actor: "alice" }),
      ),
    );

    expect(credential.identity).toBe("nested");
  });

  test("uses are noted by the minute and show on credential and identity", async () => {
    const authenticator = createAuthenticator({ db: database.db });
    const { token } = await host.handle.transaction((tx) =>
      issueCredential(tx, { identity: { slug: "used", owner: "host" }, actor: "alice" }),
    );
    const lastUse = async () => (await showIdentity(database.db, "used")).credentials[0]?.lastUsedAt;

    await authenticator.authenticate(token);
    const first = await lastUse();
    await authenticator.authenticate(token);
    await authenticator.settled();

    expect(first).toEqual(expect.any(String));
    expect(await lastUse()).toBe(first);
  });
});

describe.each(databases())("refusals of authenticate on $name", (factory) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await factory.create();
  });
  afterAll(() => database.dispose());

  test.each([
    ["", "malformed"],
    ["mid_test_abc", "malformed"],
    ["mid_test_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000", "malformed"],
    ["x".repeat(513), "malformed"],
    ["kanagent_never_seen", "unknown"],
  ])("%j is %s", async (token, code) => {
    const { authenticate } = createAuthenticator({ db: database.db });

    expect(await authenticate(token)).toEqual({ ok: false, code });
  });

  test("a legacy token is good and says so in its actor", async () => {
    await database.db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes)
       VALUES ('legacy000001', 'old codex', 'kanagent_', encode(sha256('kanagent_secret'), 'hex'), '["cards:read"]')`,
    );
    const { authenticate } = createAuthenticator({ db: database.db });

    expect(await authenticate("kanagent_secret", { scope: "cards:read" })).toMatchObject({
      ok: true,
      actor: { kind: "legacy_token", slug: "at_legacy000001", displayName: "old codex", owner: null },
      credential: null,
    });
  });
});

test("a database that cannot be asked is unavailable, never unknown", async () => {
  const [factory] = databases();
  const database = await factory?.create();
  if (database === undefined) throw new Error("there is no test server");
  const { authenticate } = createAuthenticator({ db: database.db });
  await database.dispose();

  expect(await authenticate("kanagent_whatever")).toEqual({ ok: false, code: "unavailable" });
});
