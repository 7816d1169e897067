/**
 * Sealing what agents did: a host's inserts with the queue against the same without it, one event a transaction and a hundred, by
 * one writer and by eight, fsync on; how long a batch of 10,000 takes; and how soon after its commit an event is sealed by a server.
 *
 *   node bench/seal.mjs [--rounds 10] [--seconds 3] [--major 18] [--pgbench PATH]
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer, urlOf } from "./server.mjs";
import { findPgbench, runPgbench } from "./verify/pgbench.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    seconds: { type: "string", default: "3" },
    major: { type: "string" },
    pgbench: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
const BATCH = 10_000;
/** Events whose way from commit to seal is timed. */
const TIMED = 30;
const SEALED_WITHIN = 1_000;

const insertOf = (
  count,
) => `INSERT INTO agent_audit_event ("publicId", "agentTokenId", action, "entityType", "entityId", metadata)
SELECT substr(md5(random()::text || clock_timestamp() || n), 1, 12), 1, 'card.move', 'card', 'card' || n, '{"from":"todo","to":"doing"}' FROM generate_series(1, ${count}) n;
`;

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { max_wal_size: "2GB" } });
try {
  for (const name of ["queued", "unqueued", "sealed"]) {
    await makeDatabase(server, name);
    const db = open(server, name, 1);
    await db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('agent0000001', 'agent', 'bench', repeat('1', 64))`,
    );
    if (name === "unqueued")
      await db.query("ALTER TABLE agent_audit_event DISABLE TRIGGER midctl_70_unsealed");
    await db.close();
  }
  const pgbench = findPgbench(options.pgbench);
  startTable(`Sealing, PostgreSQL ${server.major}`);
  for (const count of [1, 100]) {
    const script = join(scratch.dir, `insert-${count}.pgbench`);
    writeFileSync(script, insertOf(count));
    for (const clients of [1, 8]) {
      const run = (name) => () =>
        runPgbench(pgbench, server, name, script, { clients, threads: 1, seconds: Number(options.seconds) });
      const figures = await takeTurns({ queued: run("queued"), unqueued: run("unqueued") }, rounds);
      const what = `${count === 1 ? "an event" : `${count} events`} a transaction, ${clients} at once`;
      judge(`inserts with the queue, ${what}`, ratio(figures, "queued", "unqueued"), { atLeast: 0.8 });
      const queued = median(figures.get("queued"));
      say(
        `\n${what}: ${queued.toFixed(0)} with, ${median(figures.get("unqueued")).toFixed(0)} without, a second`,
      );
    }
  }
  const batches = await timeBatches();
  judge(`a batch of ${BATCH.toLocaleString("en")}`, median(batches), { atMost: 500 }, "ms");
  const delays = await timeServer();
  judge("from commit to seal, the slowest", Math.max(...delays), { atMost: SEALED_WITHIN }, "ms");
  say(`\nfrom commit to seal: median ${median(delays).toFixed(0)} ms`);
} finally {
  await server.stop();
  scratch.remove();
}
finish();

async function timeBatches() {
  const db = open(server, "sealed", 1);
  const times = [];
  for (let round = 0; round < rounds; round++) {
    await db.query(insertOf(BATCH));
    const began = performance.now();
    const [{ sealed }] = await db.query("SELECT sealed FROM midctl_seal_events(0)");
    times.push(performance.now() - began);
    if (sealed !== BATCH) throw new Error(`${sealed} were sealed`);
  }
  await db.close();
  return times;
}

/** One event after the other, each written as soon as the one before is sealed, and at another moment of the server's turn. */
async function timeServer() {
  const serve = spawn(process.execPath, [PROGRAM, "serve", "--listen", "127.0.0.1:0"], {
    env: { HOME: scratch.dir, MIDCTL_DATABASE_URL: urlOf(server, "sealed") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => serve.stdout.once("data", resolve));
  const db = open(server, "sealed", 1);
  const delays = [];
  for (let n = 0; n < TIMED; n++) {
    await new Promise((resolve) => setTimeout(resolve, (n * 37) % 250));
    await db.query(insertOf(1));
    const began = performance.now();
    while ((await db.query("SELECT FROM midctl_event_unsealed LIMIT 1")).length > 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
    delays.push(performance.now() - began);
  }
  await db.close();
  serve.kill("SIGTERM");
  await new Promise((resolve) => serve.once("close", resolve));
  return delays;
}
