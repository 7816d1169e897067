/**
 * Provisioning a fleet: `midctl identity import`, the whole command, against a bare COPY of the very same rows (identities,
 * labels, credentials, tokens, log) into the same tables without triggers.
 *
 *   node bench/import.mjs [--rounds 5] [--lines 10000] [--many 100000] [--major 18] [--profile]
 *
 * --profile says what the time goes to: each guard switched off in turn.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createToken, formatCommitment } from "../dist/lib/domain/token.js";
import { finish, judge, median, ratio, runWell, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    lines: { type: "string", default: "10000" },
    many: { type: "string", default: "100000" },
    major: { type: "string" },
    profile: { type: "boolean", default: false },
  },
});
const [rounds, lines, many] = [options.rounds, options.lines, options.many].map(Number);
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
const MOST_MEMORY = 300;
const TABLES = [
  "machine_identity",
  "midctl_identity_label",
  "machine_identity_credential",
  "agent_token",
  "midctl_log",
];
/** The log's other columns are generated from these. */
const COLUMNS = { midctl_log: '("index", entry, "leafHash")' };

/** A fleet as a script would write it: agents of ten orchestrators, each with a label, a life and a credential. */
function writeFleet(path, count) {
  const fleet = Array.from({ length: count }, (_, n) => {
    const commitment = formatCommitment(createToken("test", randomBytes));
    const credential = { commitment, scopes: ["cards:*"], expires: "30d" };
    const thread = `019a6f2e-${String(n).padStart(8, "0")}`;
    const parent = n < 10 ? undefined : `codex-019a6f2e-0000000${n % 10}`;
    return JSON.stringify({
      provider: "codex",
      threadId: thread,
      owner: "platform",
      labels: { fleet: `f${n % 100}` },
      parent,
      idleTtl: "24h",
      credential,
    });
  });
  writeFileSync(path, `${fleet.join("\n")}\n`);
}

const runImport = (database, file) =>
  runWell([PROGRAM, "identity", "import", file, "--json"], {
    env: { HOME: scratch.dir, MIDCTL_DATABASE_URL: urlOf(server, database) },
  });

/** `use` with a database of its own, copied from a template. */
async function withDatabase(template, use) {
  const name = `run_${randomBytes(4).toString("hex")}`;
  const root = open(server, "postgres", 1);
  await root.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  await root.query("CHECKPOINT");
  try {
    return await use(name);
  } finally {
    await root.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await root.close();
  }
}

/** The rows that an import makes, as files of COPY. */
async function exportRows(database, directory) {
  const db = open(server, database, 1);
  for (const table of TABLES) {
    const where = table === "midctl_log" ? ` WHERE "index" > 0` : "";
    const columns = COLUMNS[table]?.slice(1, -1) ?? "*";
    await db.query(`COPY (SELECT ${columns} FROM ${table}${where}) TO '${join(directory, table)}'`);
  }
  await db.close();
}

async function copyRows(database, directory) {
  const db = open(server, database, 1);
  await db.query("SELECT 1");
  const begun = performance.now();
  await db.transaction(async (tx) => {
    await tx.query("SET LOCAL session_replication_role = replica");
    for (const table of TABLES)
      await tx.query(`COPY ${table} ${COLUMNS[table] ?? ""} FROM '${join(directory, table)}'`);
  });
  const ms = performance.now() - begun;
  await db.close();
  return ms;
}

async function withoutTriggers(database) {
  const db = open(server, database, 1);
  for (const table of TABLES) await db.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  await db.close();
}

/** What each trigger of the tables costs: the same import with that one off. What needs it is off too. */
async function profile(file) {
  const all = [];
  await withDatabase("guarded", async (name) => {
    const db = open(server, name, 1);
    all.push(
      ...(await db.query(
        `SELECT tgrelid::regclass::text AS "table", tgname::text AS name FROM pg_trigger
          WHERE tgrelid::regclass::text = ANY (string_to_array($1, ' ')) AND NOT tgisinternal AND tgtype & 4 > 0 ORDER BY 1, 2`,
        [[...TABLES, "midctl_log_queue"].join(" ")],
      )),
    );
    await db.close();
  });
  const time = async (off) => {
    const figures = [];
    for (let round = 0; round < rounds; round++) {
      await withDatabase("guarded", async (name) => {
        const db = open(server, name, 1);
        for (const { table, name: trigger } of off)
          await db.query(`ALTER TABLE ${table} DISABLE TRIGGER ${trigger}`);
        await db.close();
        figures.push((await runImport(name, file)).ms);
      });
    }
    return median(figures);
  };
  const whole = await time([]);
  say(`\nwith every trigger ${whole.toFixed(0)} ms; without`);
  for (const trigger of all) {
    const ms = await time([trigger]);
    say(`- ${trigger.table} ${trigger.name}: ${(whole - ms).toFixed(0)} ms less`);
  }
  say(`- all of them: ${(whole - (await time(all))).toFixed(0)} ms less`);
}

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { autovacuum: "off" } });
try {
  const rows = join(scratch.dir, "rows");
  mkdirSync(rows);
  // The server writes there, as a user of its own.
  chmodSync(rows, 0o777);
  const [fleet, large] = [join(scratch.dir, "fleet.ndjson"), join(scratch.dir, "large.ndjson")];
  writeFleet(fleet, lines);
  writeFleet(large, many);
  for (const name of ["guarded", "bare"]) await makeDatabase(server, name);
  await withoutTriggers("bare");
  await withDatabase("guarded", async (name) => {
    await runImport(name, fleet);
    await exportRows(name, rows);
  });
  if (options.profile) await profile(fleet);
  else {
    startTable(
      `Import: PostgreSQL ${server.major}, ${lines} identities with credential, token and log entries`,
    );
    let peak = 0;
    const figures = await takeTurns(
      {
        midctl: () =>
          withDatabase("guarded", async (name) => {
            const run = await runImport(name, fleet);
            peak = Math.max(peak, run.peak);
            return run.ms;
          }),
        copy: () => withDatabase("bare", (name) => copyRows(name, rows)),
      },
      rounds,
    );
    judge("identity import : bare COPY", ratio(figures, "midctl", "copy"), { atMost: 3 });
    judge("its memory", peak, { atMost: MOST_MEMORY }, "MiB");
    const grown = await withDatabase("guarded", (name) => runImport(name, large));
    judge(
      `a line of ${many} : a line of ${lines}`,
      grown.ms / many / (median(figures.get("midctl")) / lines),
      { atMost: 1.3 },
    );
    judge(`memory of ${many} lines`, grown.peak, { atMost: MOST_MEMORY }, "MiB");
    const [ours, theirs] = ["midctl", "copy"].map((name) => median(figures.get(name)).toFixed(0));
    say(`\nimport ${ours} ms, COPY ${theirs} ms; ${many} lines ${(grown.ms / 1000).toFixed(1)} s`);
  }
} finally {
  await server.stop();
  scratch.remove();
}
finish();
