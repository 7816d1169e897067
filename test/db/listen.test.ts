import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { openProxy } from "../support/proxy.ts";

describe.each(databases())("a listening session on $name", ({ createBare }) => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await createBare();
    // Through a pooler nothing can be listened to (pooler.test.ts).
    db = database.direct;
  });
  afterAll(() => database.dispose());

  it("hears what is committed, in that order, and nothing that is rolled back", async () => {
    const heard: string[] = [];
    let end: (() => void) | undefined;
    const whole = new Promise<void>((resolve) => {
      end = resolve;
    });
    await db.listen(["spoken"], {
      heard: (_channel, payload) => {
        heard.push(payload);
        if (payload === "last") end?.();
      },
      lost: () => undefined,
    });

    await db.transaction((tx) => tx.query("SELECT pg_notify('spoken', 'first')"));
    const undone = db.transaction(async (tx) => {
      await tx.query("SELECT pg_notify('spoken', 'undone')");
      throw new Error("changed its mind");
    });
    await undone.catch(() => undefined);
    await db.query("SELECT pg_notify('spoken', 'last')");
    await whole;

    expect(heard).toEqual(["first", "last"]);
  });

  it("is not told that it is lost when it closes itself", async () => {
    const losses: string[] = [];
    const listener = await db.listen(["closing"], {
      heard: () => undefined,
      lost: () => losses.push("lost"),
    });

    listener.close();
    await db.query("SELECT pg_notify('closing', 'x')");

    expect(losses).toEqual([]);
  });
});

describe("a network that fails", () => {
  const [server] = inject("servers");

  it("tells a listening session that it is lost", async () => {
    if (server === undefined) throw new Error("no server");
    const proxy = await openProxy(server);
    const db = openPostgres({
      url: `postgres://${server.user}@127.0.0.1:${proxy.port}/postgres?sslmode=disable`,
    });
    const lost = new Promise<void>((resolve) => {
      void db.listen(["cut"], { heard: () => undefined, lost: resolve }).then(() => proxy.cut());
    });

    await lost;

    await db.close();
    await proxy.close();
  });

  it("that swallows packets costs a statement its connection after the patience, and the next gets another", async () => {
    if (server === undefined) throw new Error("no server");
    const proxy = await openProxy(server);
    const url = `postgres://${server.user}@127.0.0.1:${proxy.port}/postgres?sslmode=disable`;
    const db = openPostgres({ url }, { max: 1, patience: 200 });
    await db.query("SELECT 1");

    proxy.stall();

    await expect(db.query("SELECT 1")).rejects.toMatchObject({ code: "unavailable" });
    const connections = proxy.connections;
    await expect(db.query("SELECT 1")).rejects.toMatchObject({ code: "unavailable" });
    expect(proxy.connections).toBe(connections + 1);
    await db.close();
    await proxy.close();
  });
});
