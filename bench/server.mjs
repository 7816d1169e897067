/** A PostgreSQL to measure on, made with the engine's own machinery and gone with the run. */
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseOwnAccount, currentAccount, isRoot } from "../dist/lib/db/engine/account.js";
import { findBinaries } from "../dist/lib/db/engine/binaries.js";
import { makeCluster } from "../dist/lib/db/engine/cluster.js";
import { thisHost } from "../dist/lib/db/engine/host.js";
import { readyBinaries } from "../dist/lib/db/engine/native.js";
import { launchServer, stopServer } from "../dist/lib/db/engine/server.js";
import { migrate } from "../dist/lib/db/migrate.js";
import { openPostgres } from "../dist/lib/db/postgres.js";

const PORT = 5432;
const USER = "postgres";

/** A scratch directory that the servers' user can pass through; `remove` it at the end. */
export function makeScratch() {
  const dir = mkdtempSync(join(tmpdir(), "midctl-bench-"));
  chmodSync(dir, 0o755);
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/**
 * Starts a server with PostgreSQL's defaults, fsync included, and the given settings over them.
 * @param major which PostgreSQL; the newest that is there unless told
 * @param keepsMemory whether its processes keep what they have allocated. Else glibc gives a megabyte back after each statement and
 * takes it again, or does not, as it happens to lie: of two databases one is a millisecond slower for as long as a connection lives
 */
export async function startServer(scratch, { major, settings = {}, keepsMemory = false } = {}) {
  const candidate = [...findBinaries(thisHost())].find((one) => major === undefined || one.major === major);
  if (candidate === undefined) throw new Error(`there is no PostgreSQL ${major ?? ""} on this machine`);
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(scratch.dir, `server${candidate.major}-`));
  if (account.switched) chownSync(home, account.uid, account.gid);
  const binaries = readyBinaries(candidate, home, account);
  const dataDir = join(home, "data");
  await makeCluster({ binaries, dataDir, account, user: USER, sync: false });
  const server = await launchServer({
    binaries: keepsMemory ? { ...binaries, postgres: keepingMemory(binaries.postgres, home) } : binaries,
    dataDir,
    socketDir: home,
    port: PORT,
    settings: { listen_addresses: "", unix_socket_permissions: "0777", ...settings },
    account,
  });
  return { major: binaries.major, socketDir: home, port: PORT, user: USER, stop: () => stopServer(server) };
}

function keepingMemory(postgres, home) {
  const path = join(home, "postgres.sh");
  const most = 256 * 1024 * 1024;
  writeFileSync(
    path,
    `#!/bin/sh\nexport MALLOC_TRIM_THRESHOLD_=${most} MALLOC_MMAP_THRESHOLD_=${most}\nexec '${postgres}' "$@"\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

export function urlOf(server, database) {
  return `postgres://${server.user}@localhost/${database}?host=${encodeURIComponent(server.socketDir)}&port=${server.port}`;
}

/** Connects, at most `max` connections. */
export function open(server, database, max = 2) {
  const { socketDir, port, user } = server;
  return openPostgres({ socketDir, port, user, database }, { max });
}

/** A new database with midctl's schema. */
export async function makeDatabase(server, database) {
  const root = open(server, "postgres", 1);
  await root.query(`CREATE DATABASE ${database} TEMPLATE template0`);
  await root.close();
  const db = open(server, database, 1);
  await migrate(db);
  await db.close();
}
