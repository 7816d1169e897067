import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeCluster } from "../../src/db/engine/cluster.ts";
import { LaunchFailure, launchServer, stopServer } from "../../src/db/engine/server.ts";
import { engineSettings } from "../../src/db/engine/tuning.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { Place, packagedBinaries, serverAccount } from "./fixture.ts";

let place: Place;
let home: string;
beforeEach(() => {
  place = new Place();
  home = join(place.dir, "home");
  mkdirSync(home, { mode: 0o700 });
  const { uid, gid, switched } = serverAccount();
  if (switched) chownSync(home, uid, gid);
});
afterEach(() => place.clear());

test("a throw-away server takes queries on its socket until it is stopped", async () => {
  const account = serverAccount();
  const binaries = packagedBinaries(home);
  const dataDir = join(home, "data");
  await makeCluster({ binaries, dataDir, account, sync: false });

  const settings = { ...engineSettings(binaries.major), fsync: "off" };
  const server = await launchServer({ binaries, dataDir, socketDir: home, port: 5432, settings, account });

  const database = openPostgres({ socketDir: home, port: 5432, user: "midctl", database: "postgres" });
  try {
    expect(await database.query("SELECT 42 AS answer")).toEqual([{ answer: 42 }]);
  } finally {
    await database.close();
    await stopServer(server);
  }
});

test("a server that does not come up tells what its log says", async () => {
  const account = serverAccount();
  const binaries = packagedBinaries(home);
  const launch = launchServer({
    binaries,
    dataDir: join(home, "nothing"),
    socketDir: home,
    port: 5432,
    settings: {},
    account,
  });

  const failure = await launch.catch((error: unknown) => error);

  expect(failure).toBeInstanceOf(LaunchFailure);
  expect(failure).toMatchObject({ reason: "exited", log: expect.stringContaining("nothing") });
});
