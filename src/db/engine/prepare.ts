import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openPostgres } from "../postgres.ts";
import { type Account, actAs, chooseOwnAccount, currentAccount, isRoot } from "./account.ts";
import { type Archive, packArchive } from "./archive.ts";
import { findPackaged } from "./binaries.ts";
import { makeCluster } from "./cluster.ts";
import { type Host, thisHost } from "./host.ts";
import { ENGINE_DATABASE, ENGINE_PORT, ENGINE_USER, type EngineAddress } from "./location.ts";
import { type Binaries, readyBinaries } from "./native.ts";
import { preparedFileName } from "./prepared.ts";
import { refuseWithoutBinaries } from "./refusals.ts";
import { launchServer, stopServer } from "./server.ts";
import { engineSettings } from "./tuning.ts";

/** Rebuilt or removed at every start, or of the server that made it. */
const LEFT_OUT = /^(postmaster\.(pid|opts)|pg_internal\.init)$/;

/**
 * Makes the prepared data directory of this platform: `initdb`, the schema by `migrate`, everything else taken away,
 * packed. Called by the build.
 *
 * Every store begins as a copy. So `migrate` must leave nothing that has to differ from store to store: no database
 * id, no environment row, no log head. PostgreSQL's own system identifier is shared by the copies; it matters to
 * replication and log archives, of which the engine has none. The template databases are dropped: they are two
 * thirds of the files, and nobody creates a database in an embedded store.
 * @param outFile `dist/store/` + `preparedFileHere()`
 * @throws MidctlError `unavailable` without npm's PostgreSQL for this platform
 */
export async function prepareStore(
  outFile: string,
  migrate: (address: EngineAddress) => Promise<void>,
  host: Host = thisHost(),
): Promise<void> {
  const account = isRoot() ? chooseOwnAccount() : currentAccount();
  const home = mkdtempSync(join(tmpdir(), "midctl-"));
  if (account.switched) chownSync(home, account.uid, account.gid);
  try {
    const rejected: string[] = [];
    const candidate = findPackaged(host, rejected);
    if (candidate === null) throw refuseWithoutBinaries(rejected, host.lacksGlibc());
    const binaries = readyBinaries(candidate, home, account);
    const dataDir = join(home, "data");
    await makeCluster({ binaries, dataDir, account, sync: false });
    const segment = await fill(binaries, dataDir, home, account, migrate);
    const packed = packArchive(readTree(dataDir, binaries.major, segment));
    mkdirSync(dirname(outFile), { recursive: true });
    const fresh = `${outFile}.${process.pid}`;
    writeFileSync(fresh, packed);
    renameSync(fresh, outFile); // a command that runs meanwhile sees the old or the new
  } finally {
    actAs(account, () => rmSync(join(home, "data"), { recursive: true, force: true }));
    rmSync(home, { recursive: true, force: true });
  }
}

/** This platform's file below `dist/store`, or null where npm has no PostgreSQL that runs here. */
export function preparedFileHere(host: Host = thisHost()): string | null {
  const candidate = findPackaged(host, []);
  return candidate === null ? null : preparedFileName(host, candidate.major);
}

/** Returns the name of the last log segment in use. */
async function fill(
  binaries: Binaries,
  dataDir: string,
  socketDir: string,
  account: Account,
  migrate: (address: EngineAddress) => Promise<void>,
): Promise<string> {
  const settings = { ...engineSettings(binaries.major), fsync: "off", autovacuum: "off" };
  const address = { socketDir, port: ENGINE_PORT, user: ENGINE_USER, database: ENGINE_DATABASE };
  const server = await launchServer({ binaries, dataDir, socketDir, port: ENGINE_PORT, settings, account });
  try {
    await migrate(address);
    return await shrink(address);
  } finally {
    await stopServer(server);
  }
}

async function shrink(address: EngineAddress): Promise<string> {
  const database = openPostgres(address, { max: 1 });
  try {
    for (const template of ["template0", "template1"]) {
      await database.query(`ALTER DATABASE ${template} IS_TEMPLATE false`);
      await database.query(`DROP DATABASE ${template}`);
    }
    await database.query("VACUUM (FULL, FREEZE, ANALYZE)");
    await database.query("CHECKPOINT");
    const [row] = await database.query<{ segment: string }>(
      "SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS segment",
    );
    if (row === undefined) throw new Error("the server told no log segment");
    return row.segment;
  } finally {
    await database.close();
  }
}

function readTree(dataDir: string, major: number, segment: string): Archive {
  const directories: string[] = [];
  const files: { path: string; content: Uint8Array }[] = [];
  const walk = (below: string) => {
    for (const entry of readdirSync(join(dataDir, below), { withFileTypes: true })) {
      const path = join(below, entry.name);
      if (entry.isDirectory()) {
        directories.push(path);
        walk(path);
        continue;
      }
      if (LEFT_OUT.test(entry.name)) continue;
      const content = readFileSync(join(dataDir, path));
      if (below === "pg_wal" && !isSegmentInUse(entry.name, content, segment)) continue;
      files.push({ path, content });
    }
  };
  walk("");
  return { major, directories, files };
}

/**
 * Whether recovery may read it: not older than the last one, and not recycled for later use, which the address in its
 * first page shows (XLogPageHeaderData: magic 2, info 2, timeline 4, address 8 bytes).
 */
function isSegmentInUse(name: string, content: Buffer, last: string): boolean {
  if (name < last) return false;
  const perLogId = 0x1_0000_0000n / BigInt(content.length);
  const number = BigInt(`0x${name.slice(8, 16)}`) * perLogId + BigInt(`0x${name.slice(16, 24)}`);
  return content.readBigUInt64LE(8) === number * BigInt(content.length);
}
