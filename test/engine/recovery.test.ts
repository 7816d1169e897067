import { spawn } from "node:child_process";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { actAs, spawnIdentity } from "../../src/db/engine/account.ts";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import type { Host } from "../../src/db/engine/host.ts";
import { addressOf, type StoreLocation } from "../../src/db/engine/location.ts";
import { surveyStore } from "../../src/db/engine/store.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { ask, Place, serverAccount } from "./fixture.ts";

let place: Place;
let prepared: Host;
beforeAll(async () => {
  place = new Place();
  prepared = await place.prepare();
});
afterAll(() => place.clear());

async function startNew(): Promise<{ store: StoreLocation; pid: number }> {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  return { store, pid: await pidOf(store) };
}

async function pidOf(store: StoreLocation): Promise<number> {
  const { pid } = await inspectEngine(store, prepared);
  if (pid === null) throw new Error("the server is not there");
  return pid;
}

/** A session's process may end by itself between being listed and being killed. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Writes into the store as its owner does. */
function write(store: StoreLocation, path: string, content: string): void {
  const found = surveyStore(store);
  if (found === null) throw new Error("no store");
  actAs(found.account, () => writeFileSync(join(store.dir, path), content, { mode: 0o600 }));
}

test("a killed server is started again at once, and nothing acknowledged is lost", async () => {
  const { store, pid } = await startNew();
  await ask(store, "INSERT INTO seed VALUES ('kept')");

  process.kill(pid, "SIGKILL");
  const started = await startEngine(store, { host: prepared });

  expect(started).toMatchObject({ created: false, started: true });
  expect(await ask(store, "SELECT word FROM seed ORDER BY 1")).toEqual([{ word: "kept" }, { word: "sown" }]);
});

test("a killed server whose sessions are still open is started again", async () => {
  const { store, pid } = await startNew();
  const open = openPostgres(addressOf(store), { max: 1 });
  await open.query("SELECT 1");

  process.kill(pid, "SIGKILL");
  const started = await startEngine(store, { host: prepared });

  expect(started.started).toBe(true);
  await open.close();
});

test("the unit that started it ends: every process of the server is killed, and the next command recovers", async () => {
  const { store, pid } = await startNew();
  await ask(store, "INSERT INTO seed VALUES ('kept')");
  for (const child of childrenOf(pid)) killIfThere(child);
  process.kill(pid, "SIGKILL");

  await startEngine(store, { host: prepared });

  expect(await ask(store, "SELECT count(*)::int AS rows FROM seed")).toEqual([{ rows: 2 }]);
});

test("a server found in smart shutdown is made fast and started again", async () => {
  const { store, pid } = await startNew();
  const lingering = openPostgres(addressOf(store), { max: 1 });
  await lingering.query("SELECT 1");
  process.kill(pid, "SIGTERM");
  await until(() => readFileSync(join(store.dir, "data/postmaster.pid"), "latin1").includes("stopping"));

  const started = await startEngine(store, { host: prepared });

  expect(started.started).toBe(true);
  expect(await pidOf(store)).not.toBe(pid);
  await lingering.close();
});

test("a left-over postmaster.pid whose number is another process of the same user does not stop the start", async () => {
  const { store } = await startNew();
  await stopEngine(store);
  const bystander = spawn("cat", [], {
    stdio: ["pipe", "ignore", "ignore"],
    ...spawnIdentity(serverAccount()),
  });
  write(store, "data/postmaster.pid", note(store, bystander.pid ?? 0));
  try {
    expect((await startEngine(store, { host: prepared })).started).toBe(true);
    expect(bystander.exitCode).toBeNull();
  } finally {
    bystander.stdin.end();
  }
});

test("a left-over postmaster.pid whose number is another server of the same user does not stop the start", async () => {
  const other = await startNew();
  const { store } = await startNew();
  await stopEngine(store);
  write(store, "data/postmaster.pid", note(store, other.pid));

  const started = await startEngine(store, { host: prepared });

  expect(started.started).toBe(true);
  expect(await pidOf(other.store)).toBe(other.pid);
});

test("a stale socket is nobody's server", async () => {
  const { store, pid } = await startNew();
  process.kill(pid, "SIGKILL");
  expect(existsSync(join(store.dir, "run/.s.PGSQL.5432"))).toBe(true);

  expect((await startEngine(store, { host: prepared })).started).toBe(true);
});

test("what an interrupted first use left is thrown away", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  await stopEngine(store);
  const found = surveyStore(store);
  if (found === null) throw new Error("no store");
  actAs(found.account, () => renameSync(found.dataDir, `${found.dataDir}.new`));
  write(store, "data.new/PG_VERSION", "torn");

  const started = await startEngine(store, { host: prepared });

  expect(started.created).toBe(true);
  expect(existsSync(join(store.dir, "data.new"))).toBe(false);
});

test("a held store without an answering server is given up after the time allowed", async () => {
  const { store } = await startNew();
  await stopEngine(store);
  const held = await holdLock(store);
  try {
    const start = startEngine(store, { host: prepared, patience: 300 });
    await expect(start).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining(store.dir),
    });
  } finally {
    await held.release();
  }
});

test("stop without a server is nothing done, and starts none", async () => {
  const { store } = await startNew();
  await stopEngine(store);

  expect(await stopEngine(store)).toEqual({ stopped: false });
  expect((await inspectEngine(store, prepared)).running).toBe(false);
  expect(await stopEngine({ dir: join(place.dir, "never"), source: "xdg" })).toEqual({ stopped: false });
  expect(existsSync(join(place.dir, "never"))).toBe(false);
});

test("stop ends sessions that are open", async () => {
  const { store } = await startNew();
  const open = openPostgres(addressOf(store), { max: 1 });
  await open.query("SELECT 1");

  expect(await stopEngine(store)).toEqual({ stopped: true });
  await open.close();
});

function note(store: StoreLocation, pid: number): string {
  const started = Math.floor(Date.now() / 1000) - 100;
  return [
    pid,
    join(store.dir, "data"),
    started,
    5432,
    join(store.dir, "run"),
    "",
    "  1  2",
    "ready   ",
    "",
  ].join("\n");
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").map(Number);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function holdLock(store: StoreLocation): Promise<{ release(): Promise<void> }> {
  const holder = spawn("flock", [join(store.dir, "engine.lock"), "sh", "-c", "echo held; cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  return {
    release: () =>
      new Promise((resolve) => {
        holder.once("exit", () => resolve());
        holder.stdin.end();
      }),
  };
}
