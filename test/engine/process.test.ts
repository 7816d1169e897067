import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isRoot } from "../../src/db/engine/account.ts";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import type { Host } from "../../src/db/engine/host.ts";
import type { StoreLocation } from "../../src/db/engine/location.ts";
import { ask, openPackage, Place, runToEnd } from "./fixture.ts";

let place: Place;
let prepared: Host;
let driver: string;
beforeAll(async () => {
  place = new Place();
  prepared = await place.prepare();
  driver = await place.buildDriver();
});
afterAll(() => place.clear());

function environment(store: StoreLocation): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    MIDCTL_DATA_DIR: store.dir,
    PREPARED: prepared.findPreparedDir() ?? "",
    SECRET_OF_THE_CALLER: "canary",
  };
}

async function pidOf(store: StoreLocation): Promise<number> {
  const { pid } = await inspectEngine(store, prepared);
  if (pid === null) throw new Error("the server is not there");
  return pid;
}

test("four first uses at once make one store and one server, and all can use it", async () => {
  const store = place.newStore();

  const uses = await Promise.all(
    [1, 2, 3, 4].map(() => runToEnd(process.execPath, [driver, "start"], { env: environment(store) })),
  );

  expect(uses.map((use) => use.stderr)).toEqual(["", "", "", ""]);
  const told = uses.map((use) => JSON.parse(use.stdout) as { created: boolean; started: boolean });
  expect(told.filter((each) => each.created)).toHaveLength(1);
  expect(told.filter((each) => each.started)).toHaveLength(1);
  expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
});

test("`t=$(midctl …)` returns although the server lives on", async () => {
  const store = place.newStore();

  const shell = await runToEnd(
    "sh",
    ["-c", 't=$("$0" "$1" start); echo "got $t"', process.execPath, driver],
    {
      env: environment(store),
    },
  );

  expect(shell.stdout).toMatch(/^got \{"address"/);
  expect((await inspectEngine(store, prepared)).running).toBe(true);
});

test("the server keeps nothing of its caller: no environment, no session, no descriptor, not even number 200", async () => {
  const store = place.newStore();
  const held = join(place.dir, "callers.lock");

  const script = 'exec 200>"$2"; flock 200; exec "$0" "$1" start';
  const bash = await runToEnd("bash", ["-c", script, process.execPath, driver, held], {
    env: environment(store),
  });

  expect(bash.stderr).toBe("");
  const pid = await pidOf(store);
  const environ = readFileSync(`/proc/${pid}/environ`, "latin1");
  expect(environ).not.toContain("canary");
  const session = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[3];
  expect(Number(session)).toBe(pid);
  const open = readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`));
  expect(open).not.toContain(held);
  const again = await runToEnd("flock", ["-n", held, "true"]);
  expect(again.code).toBe(0);
});

test("the server runs under a user of its own where midctl is root, else under ours", async () => {
  const store = place.newStore();

  await startEngine(store, { host: prepared });

  const { uid } = statSync(`/proc/${await pidOf(store)}`);
  const passwd = readFileSync("/etc/passwd", "latin1");
  if (isRoot()) expect(passwd).not.toMatch(new RegExp(`^[^:]*:[^:]*:${uid}:`, "m"));
  else expect(uid).toBe(process.getuid?.());
  expect(uid).not.toBe(65_534);
});

test("a server holds the store's lock for as long as it lives, from its first start and from any later one", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  const first = await runToEnd("flock", ["-n", join(store.dir, "engine.lock"), "true"]);
  expect(first.code).toBe(1);
  await stopEngine(store);
  await startEngine(store, { host: prepared });

  const lock = await runToEnd("flock", ["-n", join(store.dir, "engine.lock"), "true"]);

  expect(lock.code).toBe(1);
  await stopEngine(store);
  const released = await runToEnd("flock", ["-n", join(store.dir, "engine.lock"), "true"]);
  expect(released.code).toBe(0);
});

test("durable: fsync and synchronous commit are on, no TCP port is open, and the log takes no statements", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });

  const settings = await ask<{ name: string; setting: string }>(
    store,
    `SELECT name, setting FROM pg_settings WHERE name IN
     ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'log_error_verbosity') ORDER BY name`,
  );

  expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
    fsync: "on",
    full_page_writes: "on",
    listen_addresses: "",
    log_error_verbosity: "terse",
    synchronous_commit: "on",
  });
});

test("an error that quotes a value leaves nothing of it in the server's log", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  await ask(store, "CREATE TABLE once (hash text UNIQUE)");
  await ask(store, "INSERT INTO once VALUES ('c0ffee')");

  await expect(ask(store, "INSERT INTO once VALUES ('c0ffee')")).rejects.toThrow();
  await expect(ask(store, "SELECT 'c0ffee'::int")).rejects.toThrow();

  expect(readFileSync(join(store.dir, "server.log"), "utf8")).not.toContain("c0ffee");
});

test("an idle server takes at most 25 MB", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  await ask(store, "SELECT count(*) FROM pg_class");
  const pid = String(await pidOf(store));

  const sizes = readdirSync("/proc")
    .filter((name) => name === pid || parentOf(name) === pid)
    .map(sizeOf);

  const total = sizes.reduce((sum, size) => sum + size, 0) / 1024;
  expect(total).toBeGreaterThan(1);
  expect(total).toBeLessThan(25);
});

/** KB of its own and its share; none of a session that has ended meanwhile. */
function sizeOf(pid: string): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function parentOf(pid: string): string | null {
  if (!/^\d+$/.test(pid)) return null;
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[1] ?? null;
  } catch {
    return null;
  }
}

test("the engine finds this machine's PostgreSQL with no install script run: links are made in the store", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });

  const { binaries } = await inspectEngine(store, prepared);

  expect(binaries).toContain(openPackage());
});
