import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { checkpointText } from "../../src/domain/checkpoint.ts";
import { parseKeptHead } from "../../src/domain/kept-head.ts";
import { readHead } from "../../src/operations/audit-checkpoint.ts";
import { type Authenticator, createAuthenticator } from "../../src/operations/authenticate.ts";
import { type HeadStore, headFile } from "../../src/operations/verifier/head-file.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { type Backup, grow, restoreBackup, takeBackup } from "./restored.ts";
import { issueActive, LEASE_MS, revoke, until, untilCached } from "./scene.ts";

const BEHIND = { ok: false, code: "behind_checkpoint" };
const UNAVAILABLE = { ok: false, code: "unavailable" };

describe.each(databases())("a verifier that keeps the log's head, on $name", ({ create }) => {
  let database: TestDatabase;
  let db: Database;
  let token: string;
  beforeAll(async () => {
    database = await create();
    db = database.db;
    token = await issueActive(db, "bot");
  });
  afterAll(() => database.dispose());

  /** A verifier without a cache, so that each answer is the database's. */
  function verifierWith(head: HeadStore, told: string[] = []): Authenticator {
    const verifier = createAuthenticator({ db, cache: false, head, warn: (text) => told.push(text) });
    onTestFinished(() => verifier.close());
    return verifier;
  }

  /** While the backup is in the place of the database. */
  async function restored(backup: Backup, work: () => Promise<unknown>): Promise<void> {
    const whole = await takeBackup(db);
    await restoreBackup(db, backup);
    try {
      await work();
    } finally {
      await restoreBackup(db, whole);
    }
  }

  test("has the head in its file before the first answer, for nobody else to read", async () => {
    const path = newPath();
    const verifier = verifierWith(headFile(path));

    expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
    expect(readFileSync(path, "utf8")).toBe(checkpointText(await readHead(db, null)));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("goes on while the log grows, and keeps its head within a second and at the end", async () => {
    const path = newPath();
    const verifier = verifierWith(headFile(path));
    await verifier.authenticate(token);

    await grow(db, 9);
    expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
    await until(async () => sizeIn(path) === (await readHead(db, null)).size);
    await grow(db, 1);
    await verifier.authenticate(token);
    await verifier.close();

    expect(readFileSync(path, "utf8")).toBe(checkpointText(await readHead(db, null)));
  });

  test("refuses every token while the log is shorter than it was seen, and says so once", async () => {
    const told: string[] = [];
    const verifier = verifierWith(headFile(newPath()), told);
    const backup = await takeBackup(db);
    await grow(db, 2);
    await verifier.authenticate(token);

    await restored(backup, async () => {
      expect(await verifier.authenticate(token)).toEqual(BEHIND);
      expect(await verifier.authenticate("kanagent_whatever")).toEqual(BEHIND);
    });

    expect(told).toEqual([expect.stringMatching(/^The log has \d+ entries, and \d+ were seen: .*restored/)]);
  });

  test("answers again by itself once the database has what it lost", async () => {
    const told: string[] = [];
    const verifier = verifierWith(headFile(newPath()), told);
    const backup = await takeBackup(db);
    await grow(db, 2);
    await verifier.authenticate(token);

    await restored(backup, () => verifier.authenticate(token));

    expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
    expect(told[1]).toMatch(/decided on again/);
  });

  test.each([
    ["longer", 9],
    ["of the same length", 2],
  ])("refuses every token where a restored log has gone on, %s", async (_, grown) => {
    const verifier = verifierWith(headFile(newPath()));
    const backup = await takeBackup(db);
    await grow(db, 2);
    await verifier.authenticate(token);

    await restored(backup, async () => {
      await grow(db, grown);

      expect(await verifier.authenticate(token)).toEqual(BEHIND);
      expect(verifier.counters.head).toMatchObject({ kind: "behind", forked: true });
    });
  });

  test("knows after a restart what it saw before", async () => {
    const path = newPath();
    const before = verifierWith(headFile(path));
    const backup = await takeBackup(db);
    await grow(db, 1);
    await before.authenticate(token);
    await before.close();

    await restored(backup, async () => {
      expect(await verifierWith(headFile(path)).authenticate(token)).toEqual(BEHIND);
    });
  });

  test("does not accept again what was revoked after the backup", async () => {
    const leaked = await issueActive(db, "leaked");
    const verifier = verifierWith(headFile(newPath()));
    const backup = await takeBackup(db);
    await revoke(db, "leaked");
    await verifier.authenticate(leaked);

    await restored(backup, async () => {
      const forgetful = createAuthenticator({ db, cache: false });
      expect(await forgetful.authenticate(leaked)).toMatchObject({ ok: true });
      expect(await verifier.authenticate(leaked)).toEqual(BEHIND);
    });
  });

  test("lets go of what it has cached with the next renewal of its lease", async () => {
    const verifier = createAuthenticator({
      db: database.direct,
      cache: { leaseMs: LEASE_MS },
      head: headFile(newPath()),
    });
    onTestFinished(() => verifier.close());
    const backup = await takeBackup(db);
    await grow(db, 2);
    await untilCached(verifier, token);
    const { size } = await readHead(db, null);
    await until(() => verifier.counters.head?.kept === size);
    await restored(backup, async () => {
      await until(async () => !(await verifier.authenticate(token)).ok);

      expect(await verifier.authenticate(token)).toEqual(BEHIND);
      expect(verifier.counters).toMatchObject({ caching: false, entries: 0 });
    });
    await untilCached(verifier, token);
  });

  test("lets go of it at once where a look-up finds out before", async () => {
    const backup = await takeBackup(db);
    await grow(db, 2);
    const cache = { leaseMs: 60_000 };
    const verifier = createAuthenticator({ db: database.direct, cache, head: headFile(newPath()) });
    onTestFinished(() => verifier.close());
    await untilCached(verifier, token);

    await restored(backup, async () => {
      expect(await verifier.authenticate("kanagent_whatever")).toEqual(BEHIND);
      expect(await verifier.authenticate(token)).toEqual(BEHIND);
    });
  });

  test("follows the log by its lease, though nobody asks", async () => {
    const path = newPath();
    const verifier = createAuthenticator({
      db: database.direct,
      cache: { leaseMs: LEASE_MS },
      head: headFile(path),
    });
    onTestFinished(() => verifier.close());
    await verifier.check();

    await grow(db, 1);

    await until(async () => sizeIn(path) === (await readHead(db, null)).size);
  });

  test("refuses while its store takes nothing, and answers again when it does", async () => {
    const path = newPath();
    const file = headFile(path);
    const store = { fails: true, read: file.read, write: file.write };
    const told: string[] = [];
    const verifier = verifierWith(
      {
        read: () => file.read(),
        write: (note) => (store.fails ? Promise.reject(new Error("full")) : file.write(note)),
      },
      told,
    );

    expect(await verifier.authenticate(token)).toEqual(UNAVAILABLE);
    store.fails = false;
    await until(async () => (await verifier.authenticate(token)).ok);

    expect(sizeIn(path)).toBe((await readHead(db, null)).size);
    expect(told).toEqual([expect.stringContaining("store"), expect.stringContaining("decided on again")]);
  });

  test("refuses where its store forgets what it was given", async () => {
    const verifier = verifierWith({ read: async () => null, write: async () => undefined });

    expect(await verifier.authenticate(token)).toEqual(UNAVAILABLE);
  });

  test.each([
    ["something else", () => "hello\n", "usage", /is no head of a log/],
    ["half a head", (text: string) => text.slice(0, -9), "usage", /is no head of a log/],
    [
      "the head of another log",
      (text: string) => text.replace(/\/.*/, "/other"),
      "conflict",
      /of another log/,
    ],
  ])("says what is wrong where the file holds %s", async (_, write, code, says) => {
    const path = newPath();
    writeFileSync(path, write(checkpointText(await readHead(db, null))));
    const verifier = verifierWith(headFile(path));

    await expect(verifier.check()).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
    expect(await verifier.authenticate(token)).toEqual(UNAVAILABLE);
  });

  test("begins with a checkpoint that was signed elsewhere", async () => {
    const path = newPath();
    const { origin, size, root } = await readHead(db, null);
    writeFileSync(path, `${checkpointText({ origin, size: size + 7, root })}\n— somebody AAAAAAAA\n`);

    expect(await verifierWith(headFile(path)).authenticate(token)).toEqual(BEHIND);
  });

  test("takes over what another verifier has seen, with the next head that it keeps", async () => {
    const path = newPath();
    const [busy, idle] = [verifierWith(headFile(path)), verifierWith(headFile(path))];
    await idle.authenticate(token);
    const backup = await takeBackup(db);
    await grow(db, 5);
    await busy.authenticate(token);
    await busy.close();

    await restored(backup, async () => {
      await grow(db, 1);
      await until(async () => !(await idle.authenticate(token)).ok);

      expect(await idle.authenticate(token)).toEqual(BEHIND);
    });
  });

  const sizeIn = (path: string) =>
    existsSync(path) ? parseKeptHead(readFileSync(path, "utf8"))?.size : undefined;
});

function newPath(): string {
  return join(mkdtempSync(join(inject("scratch"), "head-")), "head");
}
