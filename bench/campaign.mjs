/**
 * Rotating a fleet with a file for each: `midctl credential rotate --all --token-file-dir`, the whole command, against a process
 * that writes and syncs as many files alone.
 *
 *   node bench/campaign.mjs [--rounds 5] [--targets 10000] [--major 18] [--directory DIR]
 *
 * --directory: where the files go, on the disk that is to be measured; a scratch directory unless told.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createToken, formatCommitment } from "../dist/lib/domain/token.js";
import { finish, judge, median, ratio, runWell, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    targets: { type: "string", default: "10000" },
    major: { type: "string" },
    directory: { type: "string" },
  },
});
const [rounds, targets] = [options.rounds, options.targets].map(Number);
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
const MOST_MEMORY = 300;

const run = (args, env = {}) => runWell(args, { env: { HOME: scratch.dir, ...env } });

/** A template database: a fleet of agents, each with a credential that is in use. */
async function makeFleet() {
  await makeDatabase(server, "fleet");
  const file = join(scratch.dir, "fleet.ndjson");
  const lines = Array.from({ length: targets }, (_, n) => {
    const commitment = formatCommitment(createToken("test", randomBytes));
    const threadId = `019a6f2e-${String(n).padStart(8, "0")}`;
    return JSON.stringify({
      ...{ provider: "codex", threadId, owner: "platform" },
      credential: { commitment, scopes: ["cards:*"] },
    });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
  await run([PROGRAM, "identity", "import", file, "--quiet"], {
    MIDCTL_DATABASE_URL: urlOf(server, "fleet"),
  });
  const db = open(server, "fleet", 1);
  await db.query("UPDATE machine_identity_credential SET status = 'active'");
  await db.query("VACUUM ANALYZE");
  await db.close();
}

async function rotateAll(directory) {
  const name = `run_${randomBytes(4).toString("hex")}`;
  const root = open(server, "postgres", 1);
  await root.query(`CREATE DATABASE ${name} TEMPLATE fleet`);
  await root.query("CHECKPOINT");
  try {
    const words = ["credential", "rotate", "--all", "--token-file-dir", directory, "--yes", "--quiet"];
    const ran = await run([PROGRAM, ...words], { MIDCTL_DATABASE_URL: urlOf(server, name) });
    const files = readdirSync(directory).length;
    if (files !== targets) throw new Error(`${files} files for ${targets}`);
    return ran;
  } finally {
    await root.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await root.close();
  }
}

/**
 * The files alone: written and synced each, and their directory once at the end. `careful`: as anybody writes who replaces a file
 * that is in use, beside its place and renamed, with the directory synced after each.
 */
const WRITER = `
const fs = require("node:fs"), [directory, count, careful] = process.argv.slice(1);
const content = "x".repeat(${createToken("test", randomBytes).text.length}) + "\\n";
const syncDirectory = () => { const fd = fs.openSync(directory, "r"); fs.fsyncSync(fd); fs.closeSync(fd); };
for (let n = 0; n < Number(count); n++) {
  const place = directory + "/codex-" + n + ".token", beside = careful === undefined ? place : place + ".new";
  const fd = fs.openSync(beside, "wx", 0o600);
  fs.writeSync(fd, content); fs.fsyncSync(fd); fs.closeSync(fd);
  if (careful === undefined) continue;
  fs.renameSync(beside, place);
  syncDirectory();
}
syncDirectory();`;
const writeAlone = (directory, ...more) => run(["-e", WRITER, directory, `${targets}`, ...more]);

/** `use` with a directory of its own; what `use` came to, in ms. */
async function withDirectory(use) {
  const directory = mkdtempSync(join(options.directory ?? scratch.dir, "secrets-"));
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { autovacuum: "off" } });
try {
  await makeFleet();
  let peak = 0;
  const figures = await takeTurns(
    {
      midctl: () =>
        withDirectory(async (directory) => {
          const ran = await rotateAll(directory);
          peak = Math.max(peak, ran.peak);
          return ran.ms;
        }),
      alone: () => withDirectory(async (directory) => (await writeAlone(directory)).ms),
      careful: () => withDirectory(async (directory) => (await writeAlone(directory, "careful")).ms),
    },
    rounds,
  );
  startTable(`Campaign: PostgreSQL ${server.major}, ${targets} identities with a file each, fsync on`);
  judge("the files alone : a campaign", ratio(figures, "alone", "midctl"), { atLeast: 0.5 });
  judge("its memory", peak, { atMost: MOST_MEMORY }, "MiB");
  const [ours, theirs, careful] = ["midctl", "alone", "careful"].map((name) =>
    median(figures.get(name)).toFixed(0),
  );
  say(
    `\ncampaign ${ours} ms, files alone ${theirs} ms (${careful} ms renamed, with the directory synced after each)`,
  );
} finally {
  await server.stop();
  scratch.remove();
}
finish();
