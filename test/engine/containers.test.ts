import { spawn, spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRoot } from "../../src/db/engine/account.ts";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import type { Host } from "../../src/db/engine/host.ts";
import type { StoreLocation } from "../../src/db/engine/location.ts";
import { ask, mainOf, openPackage, Place, runToEnd } from "./fixture.ts";

let place: Place;
let prepared: Host;
let driver: string;
beforeAll(async () => {
  place = new Place();
  prepared = await place.prepare();
  driver = await place.buildDriver();
});
afterAll(() => place.clear());

/** What a container gives its processes: numbers and shared memory of their own. A user needs a user namespace for it. */
const CONTAINER = [...(isRoot() ? [] : ["-c"]), "-p", "-i", "-f", "-m", "--mount-proc", "--kill-child"];

/** A sandbox may forbid namespaces altogether: then there are no containers in it to prove anything about. */
const canContain = spawnSync("unshare", [...CONTAINER, "true"]).status === 0;

function environment(store: StoreLocation): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, MIDCTL_DATA_DIR: store.dir, PREPARED: prepared.findPreparedDir() ?? "" };
}

/** Root under which no capability is left, and users by number, take root to set up. */
if (isRoot()) {
  describe("under root", () => {
    test("root that may not change user or owner is refused, naming --user and a URL", async () => {
      const store = place.newStore();

      const args = ["--bounding-set=-all", "--inh-caps=-all", process.execPath, driver, "start"];
      const told = await runToEnd("setpriv", args, { env: environment(store) });

      expect(told.code).toBe(7);
      expect(told.stderr).toContain("--user");
      expect(told.stderr).toContain("postgres://");
    });

    test("a user without passwd entry works from the prepared data directory", async () => {
      const store = place.newStore();
      mkdirSync(store.dir, { mode: 0o700 });
      chownSync(store.dir, 54_321, 54_321);

      const told = await runAs(54_321, environment(store));

      expect(told).toMatchObject({ code: 0, stderr: "" });
      expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
    });

    test("a user without passwd entry is told that initdb is impossible", async () => {
      const store = place.newStore();
      mkdirSync(store.dir, { mode: 0o700 });
      chownSync(store.dir, 54_321, 54_321);

      const told = await runAs(54_321, { ...environment(store), PREPARED: "/nowhere" });

      expect(told.code).toBe(7);
      expect(told.stderr).toContain("passwd entry");
      expect(told.stderr).toContain(store.dir);
    });

    test("a user without home and MIDCTL_DATA_DIR is told to set it", async () => {
      const told = await runAs(54_321, { PATH: process.env.PATH });

      expect(told.stderr).toContain('"usage"');
      expect(told.stderr).toContain("MIDCTL_DATA_DIR");
    });

    test("root uses another user's store with that user's rights", async () => {
      const store = place.newStore();
      mkdirSync(store.dir, { mode: 0o700 });
      chownSync(store.dir, 54_322, 54_322);

      await startEngine(store, { host: prepared });

      const { pid } = await inspectEngine(store, prepared);
      expect(statSync(`/proc/${pid}`).uid).toBe(54_322);
      expect(statSync(join(store.dir, "data")).uid).toBe(54_322);
    });

    test("root is told when its engine's user cannot reach the store", async () => {
      const closed = mkdtempSync(join(tmpdir(), "midctl-closed-"));
      const store = { dir: join(closed, "store"), source: "MIDCTL_DATA_DIR" } as const;
      try {
        await expect(startEngine(store, { host: prepared })).rejects.toMatchObject({
          code: "unavailable",
          message: expect.stringContaining("cannot reach"),
        });
      } finally {
        rmSync(closed, { recursive: true });
      }
    });
  });
}

function runAs(uid: number, env: NodeJS.ProcessEnv) {
  const args = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", process.execPath, driver, "start"];
  return runToEnd("setpriv", args, { env });
}

if (canContain) {
  describe("in containers", () => {
    test("a container's server dies with it, and the next container recovers silently", async () => {
      const store = place.newStore();
      const start = () =>
        runToEnd("unshare", [...CONTAINER, process.execPath, driver, "start"], { env: environment(store) });

      const first = await start();
      const second = await start();

      expect(JSON.parse(first.stdout)).toMatchObject({ created: true, started: true });
      expect(second.stderr).toBe("");
      expect(JSON.parse(second.stdout)).toMatchObject({ created: false, started: true, notices: [] });
    });

    test("two containers on one volume: the second reaches the first one's server through the store", async () => {
      const store = place.newStore();
      await startEngine(store, { host: prepared });

      const other = await runToEnd("unshare", [...CONTAINER, process.execPath, driver, "start"], {
        env: environment(store),
      });

      expect(other.stderr).toBe("");
      expect(JSON.parse(other.stdout)).toMatchObject({ created: false, started: false });
    });

    test("a container cannot stop another one's server, and says so", async () => {
      const store = place.newStore();
      await startEngine(store, { host: prepared });

      const other = await runToEnd("unshare", [...CONTAINER, process.execPath, driver, "stop"], {
        env: environment(store),
      });

      expect(other.code).toBe(7);
      expect(other.stderr).toContain("another container");
      expect((await inspectEngine(store, prepared)).running).toBe(true);
    });

    test("two containers that start at once on one volume make one server", async () => {
      const store = place.newStore();
      const containers = [1, 2].map(() => openContainer(store));

      const told = await Promise.all(containers.map((container) => container.told));

      expect(told.filter((each) => each.started)).toHaveLength(1);
      expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
      await Promise.all(containers.map((container) => container.end()));
    });

    test("a container's root copies programs that its engine's user cannot read, whole", async () => {
      const home = mkdtempSync(join(tmpdir(), "midctl-home-"));
      const store = place.newStore();
      try {
        cpSync(openPackage(), join(home, "package"), { recursive: true, verbatimSymlinks: true });
        const container = openContainer(store, { PACKAGE: mainOf(join(home, "package")) });
        await container.told;

        expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
        await container.end();
      } finally {
        rmSync(home, { recursive: true });
      }
    });

    test("a start after the container of the server was killed does not trust the process number it left", async () => {
      const store = place.newStore();
      const container = openContainer(store);
      await container.told;
      await container.end();
      expect(await stopEngine(store)).toEqual({ stopped: false });

      expect((await startEngine(store, { host: prepared })).started).toBe(true);
    });
  });
}

/** A container that starts the engine and lives until it is ended. */
function openContainer(
  store: StoreLocation,
  env: NodeJS.ProcessEnv = {},
): { told: Promise<{ started: boolean }>; end(): Promise<void> } {
  const script = '"$0" "$1" start; cat';
  const child = spawn("unshare", [...CONTAINER, "sh", "-c", script, process.execPath, driver], {
    env: { ...environment(store), ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  return {
    told: new Promise((resolve, reject) => {
      child.stdout.once("data", (chunk: Buffer) => resolve(JSON.parse(chunk.toString())));
      child.once("exit", () => reject(new Error("the container ended")));
    }),
    end: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.stdin.end();
      }),
  };
}

test("first use in a container without a volume says that the data end with it", async () => {
  const { warnOfContainer } = await import("../../src/db/engine/store.ts");
  const marker = join(place.dir, "containerenv");
  writeFileSync(marker, "");

  expect(warnOfContainer(place.dir, [marker])).toContain("volume");
  expect(warnOfContainer("/proc", [marker])).toBeNull();
  expect(warnOfContainer(place.dir, [join(place.dir, "absent")])).toBeNull();
});
