/**
 * Appending to the log: changes a second with it against the same changes without it, by one writer and by eight, fsync on. A
 * change is an identity that is made in a transaction of its own, by hand-written SQL; without the log its triggers are off.
 *
 *   node bench/log.mjs [--rounds 10] [--seconds 3] [--major 15] [--pgbench PATH] [--against DIRECTORY]
 *
 * --against: other migrations, measured beside these.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { migrate } from "../dist/lib/db/migrate.js";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer } from "./server.mjs";
import { findPgbench, runPgbench } from "./verify/pgbench.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    seconds: { type: "string", default: "3" },
    major: { type: "string" },
    pgbench: { type: "string" },
    against: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const GOALS = { 1: 0.45, 8: 0.2 };

const CHANGE = `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
SELECT left(h, 12), 'svc-' || h, 'service', 'a service', 'team' FROM (SELECT md5(random()::text || clock_timestamp()) AS h) r;
`;

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { max_wal_size: "2GB" } });
try {
  const names = ["logged", "unlogged"];
  for (const name of names) await makeDatabase(server, name);
  await silence("unlogged");
  if (options.against !== undefined) {
    names.push("against");
    await makeEmpty("against");
    const db = open(server, "against", 1);
    await migrate(db, { directory: options.against });
    await db.close();
  }
  const script = join(scratch.dir, "change.pgbench");
  writeFileSync(script, CHANGE);
  const pgbench = findPgbench(options.pgbench);
  startTable(`Appending, PostgreSQL ${server.major}`);
  for (const clients of [1, 8]) {
    const run = (name) => () =>
      runPgbench(pgbench, server, name, script, { clients, threads: 1, seconds: Number(options.seconds) });
    const figures = await takeTurns(Object.fromEntries(names.map((name) => [name, run(name)])), rounds);
    judge(`changes with the log, ${clients} at once`, ratio(figures, "logged", "unlogged"), {
      atLeast: GOALS[clients],
    });
    for (const name of names) say(`\n${clients} ${name}: ${median(figures.get(name)).toFixed(0)} a second`);
    if (names.includes("against")) {
      say(
        `\n${clients} against: ${ratio(figures, "against", "unlogged").toFixed(2)} of unlogged; logged is ${ratio(figures, "logged", "against").toFixed(2)} of it`,
      );
    }
  }
} finally {
  await server.stop();
  scratch.remove();
}
finish();

async function makeEmpty(name) {
  const root = open(server, "postgres", 1);
  await root.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  await root.close();
}

/** Changes are still judged, and no longer written down. */
async function silence(name) {
  const db = open(server, name, 1);
  await db.query("ALTER TABLE machine_identity DISABLE TRIGGER midctl_50_log_births");
  await db.close();
}
