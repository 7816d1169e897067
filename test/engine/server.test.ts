import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeCluster } from "../../src/db/engine/cluster.ts";
import { launchServer, stopServer } from "../../src/db/engine/server.ts";
import { engineSettings } from "../../src/db/engine/tuning.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { makePlace, packagedBinaries, removePlace, serverAccount } from "./fixture.ts";

let place: string;
beforeEach(() => {
  place = makePlace();
  const own = join(place, "own");
  mkdirSync(own, { mode: 0o700 });
  const { uid, gid, switched } = serverAccount();
  if (switched) chownSync(own, uid, gid);
});
afterEach(() => removePlace(place));

test("a throw-away server takes queries on its socket until it is stopped", async () => {
  const account = serverAccount();
  const home = join(place, "own");
  const binaries = packagedBinaries(home);
  const dataDir = join(home, "data");
  await makeCluster({ binaries, dataDir, account, sync: false });
  const server = await launchServer({
    binaries,
    dataDir,
    socketDir: home,
    port: 5432,
    settings: { ...engineSettings(binaries.major), fsync: "off" },
    account,
  });
  const database = openPostgres({ socketDir: home, port: 5432, user: "midctl", database: "postgres" });
  try {
    const [row] = await database.query<{ answer: number }>("SELECT 42 AS answer");
    expect(row?.answer).toBe(42);
  } finally {
    await database.close();
    await stopServer(server);
  }
});
