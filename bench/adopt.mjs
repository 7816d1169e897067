/**
 * Adopting a host's database that is in use: how long its clients stall, and whether the time depends on its size.
 *
 *   node bench/adopt.mjs [--rounds 3] [--tokens 100000] [--events 1000000] [--clients 8] [--major 18]
 *
 * The host is that of the tests (test/guards/kan.sql), grown. While it is adopted its clients read tokens, write events and
 * note uses, each waiting for its own answer.
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { migrate } from "../dist/lib/db/migrate.js";
import { finish, judge, median, say, startTable } from "./measure.mjs";
import { makeScratch, open, startServer } from "./server.mjs";
import { startChild } from "./verify/child.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "100000" },
    events: { type: "string", default: "1000000" },
    clients: { type: "string", default: "8" },
    major: { type: "string" },
  },
});
const [rounds, tokens, events, clients] = [
  options.rounds,
  options.tokens,
  options.events,
  options.clients,
].map(Number);
const SMALL = 10_000;
const KAN = readFileSync(new URL("../test/guards/kan.sql", import.meta.url), "utf8");
const MIGRATIONS = new URL("../migrations/", import.meta.url);

/** A copy of the migrations up to those that build indexes on the host's tables; what follows them touches ours alone. */
function withoutIndexes(directory) {
  const copy = mkdtempSync(join(directory, "migrations-"));
  for (const name of readdirSync(MIGRATIONS).sort()) {
    if (name.endsWith("_concurrently.sql")) break;
    copyFileSync(new URL(name, MIGRATIONS), join(copy, name));
  }
  return copy;
}

async function makeHost(server, name, sizes) {
  const root = open(server, "postgres", 1);
  await root.query(`DROP DATABASE IF EXISTS ${name}`);
  await root.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  await root.close();
  const db = open(server, name, 4);
  await db.transaction((tx) => tx.script(KAN));
  await db.query(
    `INSERT INTO agent_token ("publicId", "workspaceId", name, "tokenPrefix", "tokenHash")
     SELECT lpad(n::text, 12, 't'), 1, 'agent ' || n, 'kanagent_' || n % 10000, encode(sha256(n::text::bytea), 'hex') FROM generate_series(1, $1::int) n`,
    [sizes.tokens],
  );
  await db.query(
    `INSERT INTO agent_audit_event ("publicId", "workspaceId", "agentTokenId", action)
     SELECT lpad(n::text, 12, 'e'), 1, 4 + n % $2::int, 'card.update' FROM generate_series(1, $1::int) n`,
    [sizes.events, sizes.tokens],
  );
  await db.query("VACUUM ANALYZE");
  return db;
}

/** Milliseconds that adoption takes without the indexes, then the indexes, with nobody else there. */
async function timeAdoption(server, name, sizes, directory) {
  const db = await makeHost(server, name, sizes);
  const start = performance.now();
  await migrate(db, { directory });
  const adopted = performance.now();
  await migrate(db);
  const indexed = performance.now();
  await db.close();
  return { adopt: adopted - start, index: indexed - adopted };
}

/** What its clients see of it: the longest that one of them waited, before and meanwhile. */
async function watchAdoption(server, name, sizes) {
  const db = await makeHost(server, name, sizes);
  const { socketDir, port, user } = server;
  const target = { socketDir, port, user, database: name };
  const application = await startChild("adopt/clients.mjs", { target, clients, tokens: sizes.tokens });
  await pause(3000);
  await application.ask({ order: "reset" });
  await pause(3000);
  const quiet = await application.ask({ order: "tell" });
  await application.ask({ order: "reset" });
  const start = performance.now();
  await migrate(db);
  const ms = performance.now() - start;
  const during = await application.ask({ order: "stop" });
  await application.kill();
  await db.close();
  return { quiet, during, ms };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const scratch = makeScratch();
const server = await startServer(
  scratch,
  options.major === undefined ? {} : { major: Number(options.major) },
);
try {
  const directory = withoutIndexes(scratch.dir);
  const figures = { small: [], large: [] };
  for (let round = 0; round < rounds; round++) {
    figures.small.push(await timeAdoption(server, "small", { tokens: SMALL / 10, events: SMALL }, directory));
    figures.large.push(await timeAdoption(server, "large", { tokens, events }, directory));
  }
  const watched = [];
  for (let round = 0; round < rounds; round++) {
    watched.push(await watchAdoption(server, "watched", { tokens, events }));
  }
  startTable(
    `Adopting a host in use: PostgreSQL ${server.major}, ${tokens} tokens, ${events} events, ${clients} clients`,
  );
  judge(
    "errors of the host's clients",
    watched.reduce((sum, { during }) => sum + during.failed, 0),
    { atMost: 0 },
    "",
  );
  judge(
    "longest stall of a client",
    Math.max(...watched.map(({ during }) => during.longest)),
    { atMost: 200 },
    "ms",
  );
  judge(
    `adoption without indexes : the same with ${SMALL} events`,
    median(figures.large.map(({ adopt }, round) => adopt / figures.small[round].adopt)),
    { atMost: 1.5 },
  );
  const of = (list, key) => median(list.map((each) => each[key])).toFixed(0);
  say(
    `\nadoption ${of(figures.small, "adopt")} ms small, ${of(figures.large, "adopt")} ms large; indexes ${of(figures.small, "index")} and ${of(figures.large, "index")} ms; ` +
      `in use ${of(watched, "ms")} ms, ${of(
        watched.map(({ during }) => during),
        "done",
      )} rounds of its clients meanwhile; ` +
      `longest stall before ${watched.map(({ quiet }) => quiet.longest.toFixed(0)).join(", ")}, meanwhile ${watched.map(({ during }) => during.longest.toFixed(0)).join(", ")} ms`,
  );
  for (const { during } of watched) for (const error of during.errors) say(`error: ${error}`);
} finally {
  await server.stop();
  scratch.remove();
}
finish();
