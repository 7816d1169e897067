import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { chooseOwnAccount, currentAccount, isRoot, spawnIdentity } from "../../src/db/engine/account.ts";
import { makeCluster } from "../../src/db/engine/cluster.ts";
import { readyBinaries, scrubbedEnvironment } from "../../src/db/engine/native.ts";
import { launchServer, stopServer } from "../../src/db/engine/server.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { findTestBinaries } from "../support/launcher.ts";
import { issueActive, until } from "./scene.ts";

const PORT = 5432;

let standby: ChildProcess;
let address: { url: string };
let token: string;

/** A server that was stopped and comes up as a standby, with all that it knew. */
beforeAll(async () => {
  const [candidate] = findTestBinaries();
  if (candidate === undefined) throw new Error("no PostgreSQL");
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(inject("scratch"), "standby-"));
  if (account.switched) chownSync(home, account.uid, account.gid);
  const binaries = readyBinaries(candidate, home, account);
  const dataDir = join(home, "data");
  await makeCluster({ binaries, dataDir, account, user: "postgres", sync: false });
  address = { url: `postgres://postgres@${encodeURIComponent(home)}:${PORT}/postgres` };
  const primary = await launchServer({
    binaries,
    dataDir,
    socketDir: home,
    port: PORT,
    settings: { listen_addresses: "" },
    account,
  });
  const db = openPostgres(address);
  await migrate(db);
  token = await issueActive(db, "known-to-both");
  await db.close();
  await stopServer(primary);

  writeFileSync(join(dataDir, "standby.signal"), "", { mode: 0o644 });
  const place = ["-D", dataDir, "-k", home, "-p", String(PORT), "-c", "listen_addresses="];
  standby = spawn(binaries.postgres, place, {
    env: scrubbedEnvironment(binaries),
    stdio: "ignore",
    ...spawnIdentity(account),
  });
  await until(async () => {
    const probe = openPostgres(address, { max: 1 });
    const answers = await probe.query("SELECT 1").then(
      () => true,
      () => false,
    );
    await probe.close();
    return answers;
  });
});

afterAll(async () => {
  const gone = new Promise((resolve) => standby.once("exit", resolve));
  standby.kill("SIGQUIT");
  await gone;
});

test("a standby is refused as a source for verification: it may not have heard of a revocation", async () => {
  const db = openPostgres(address);
  const verifier = createAuthenticator({ db });

  expect(await verifier.authenticate(token)).toEqual({ ok: false, code: "unavailable" });
  expect(await verifier.authenticate("kanagent_whatever")).toEqual({ ok: false, code: "unavailable" });
  await verifier.close();
  await db.close();
});

test("looking at a token on a standby says why it cannot be decided there", async () => {
  const db = openPostgres(address);

  await expect(verifyToken(db, token, null)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("standby"),
    hint: expect.stringContaining("primary"),
  });
  await db.close();
});
