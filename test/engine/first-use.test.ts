import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import type { Host } from "../../src/db/engine/host.ts";
import { ask, Place, unpreparedHost } from "./fixture.ts";

let place: Place;
let prepared: Host;
beforeAll(async () => {
  place = new Place();
  prepared = await place.prepare();
});
afterAll(() => place.clear());

test("first use copies the prepared data directory, starts its server and says so", async () => {
  const store = place.newStore();
  const notices: string[] = [];

  const started = await startEngine(store, { host: prepared, notice: (line) => notices.push(line) });

  expect(started).toMatchObject({ created: true, started: true });
  expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
  expect(notices[0]).toContain(store.dir);
  expect(notices[0]).toContain("midctl db stop");
});

test("without a prepared data directory initdb makes one, for a user that no passwd file names too", async () => {
  const store = place.newStore();

  const started = await startEngine(store, { host: unpreparedHost() });

  expect(started.created).toBe(true);
  expect(await ask(store, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  expect(statSync(join(store.dir, "data/base")).uid).toBe(statSync(store.dir).uid);
  expect(statSync(store.dir).mode & 0o777).toBe(0o700);
});

test.each([0o077, 0o777])("a umask of %o keeps neither store nor server from being made", async (umask) => {
  const store = place.newStore(`under-${umask}/parents/store`);
  const before = process.umask(umask);

  const started = await startEngine(store, { host: prepared }).finally(() => process.umask(before));

  expect(started).toMatchObject({ created: true, started: true });
  expect(statSync(store.dir).mode & 0o777).toBe(0o700);
  expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
});

test("a running server is found and not started again", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  const before = await inspectEngine(store, prepared);

  const again = await startEngine(store, { host: prepared });

  expect(again).toMatchObject({ created: false, started: false });
  expect((await inspectEngine(store, prepared)).pid).toBe(before.pid);
});

test("what was committed is there after the server was stopped and started", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  await ask(store, "INSERT INTO seed VALUES ('grown')");

  expect(await stopEngine(store)).toEqual({ stopped: true });
  const started = await startEngine(store, { host: prepared });

  expect(started).toMatchObject({ created: false, started: true });
  expect(await ask(store, "SELECT word FROM seed ORDER BY 1")).toEqual([{ word: "grown" }, { word: "sown" }]);
});
