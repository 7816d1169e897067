/**
 * A sweep of a million identities against one of ten thousand, with the same number of rows due in both: what it costs, and how
 * many rows it touches by the server's own count.
 *
 *   node bench/sweep.mjs [--rounds 10] [--large 1000000] [--major 18]
 */
import { parseArgs } from "node:util";
import { diagnose } from "../dist/lib/operations/doctor.js";
import { sweep } from "../dist/lib/operations/sweep.js";
import { readHygiene } from "../dist/lib/repository/hygiene.js";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    large: { type: "string", default: "1000000" },
    major: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const SMALL = 10_000;
const LARGE = Number(options.large);
/** Due at each sweep: so many of each kind. */
const DUE = 500;
/** Identities in use, older than their idle life: looked at in vain. */
const IN_USE = 500;
const REQUEST = { actor: { kind: "operator", name: "bench" }, reason: null };
const MONTH = 30 * 86_400;
const TABLES = ["machine_identity", "midctl_identity_label", "machine_identity_credential", "agent_token"];

/**
 * The first rows are those that are due, in three kinds, and those in use. Of the others, which are not, each fifth is revoked,
 * two paused for idleness a week ago, one active and young, one active without an idle life; each has a credential, a tenth of
 * them pending.
 */
const fill = (size) => [
  `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, status, "createdAt", "idleTtl", "pausedAt", "revokedAt", "lastUsedAt")
   SELECT lpad(n::text, 12, '0'), 'bot-' || n, 'bot', 'service', 'owner-' || n % 10,
          CASE WHEN n <= ${3 * DUE + IN_USE} THEN 'active' WHEN n % 5 = 0 THEN 'revoked' WHEN n % 5 <= 2 THEN 'paused' ELSE 'active' END,
          now() AT TIME ZONE 'UTC' - CASE WHEN n > ${3 * DUE + IN_USE} AND n % 5 = 3 THEN interval '1 hour' ELSE interval '60 days' END,
          CASE WHEN n <= ${DUE} OR n > ${2 * DUE} AND (n <= ${3 * DUE + IN_USE} OR n % 5 <> 4) THEN 86400 END,
          CASE WHEN n > ${3 * DUE + IN_USE} AND n % 5 IN (1, 2) THEN now() AT TIME ZONE 'UTC' - interval '7 days' END,
          CASE WHEN n > ${3 * DUE + IN_USE} AND n % 5 = 0 THEN now() AT TIME ZONE 'UTC' - interval '7 days' END,
          CASE WHEN n > ${2 * DUE} AND n <= ${2 * DUE + IN_USE} OR n > ${3 * DUE + IN_USE} AND n % 5 = 4 THEN now() AT TIME ZONE 'UTC' - interval '1 minute' END
     FROM generate_series(1, ${size}) n`,
  `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", "tokenHash", status, "activationDeadline", "expiresAt", "issuedAt", "activatedAt")
   SELECT "publicId", id, lpad("publicId", 64, '0'), CASE WHEN id % 10 = 0 THEN 'pending' ELSE 'active' END,
          now() AT TIME ZONE 'UTC' + interval '1 day', now() AT TIME ZONE 'UTC' + make_interval(days => (10 + id % 80)::int),
          now() AT TIME ZONE 'UTC' - interval '50 days', CASE WHEN id % 10 <> 0 THEN now() END
     FROM machine_identity`,
  `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId", "createdAt", "lastUsedAt")
   SELECT c."publicId", c.name, 'mid_test', c."tokenHash", c."machineIdentityId", c."issuedAt", i."lastUsedAt"
     FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"`,
];

/** The guards judge row by row, which nobody needs where rows are made; afterwards they are on again, as they were. */
async function unguarded(db, statements) {
  const on = await db.query(
    `SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', tgrelid::regclass, tgname) AS sql FROM pg_trigger
      WHERE tgrelid::regclass::text = ANY ($1::text[]) AND NOT tgisinternal`,
    [`{${TABLES.join(",")}}`],
  );
  for (const table of TABLES) await db.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  for (const statement of statements) await db.query(statement);
  for (const table of TABLES) await db.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
  for (const { sql } of on) await db.query(sql);
}

/** Makes the same rows due again: 1 to DUE idle, DUE to 2 DUE overdue, the last DUE before the others forsaken. */
const makeDue = [
  `UPDATE machine_identity SET status = 'active', "pausedAt" = NULL WHERE id <= ${DUE}`,
  `UPDATE machine_identity_credential SET status = 'pending', "abandonedAt" = NULL, "activationDeadline" = now() AT TIME ZONE 'UTC' - interval '1 hour',
          "activatedAt" = NULL WHERE id > ${DUE} AND id <= ${2 * DUE}`,
  `UPDATE agent_token SET "revokedAt" = NULL WHERE id <= ${3 * DUE + IN_USE}`,
];
const makeForsaken = `UPDATE machine_identity SET status = 'paused', "revokedAt" = NULL, "pausedAt" = now() AT TIME ZONE 'UTC' - interval '31 days'
  WHERE id > ${2 * DUE + IN_USE} AND id <= ${3 * DUE + IN_USE}`;

async function load(server, database, size) {
  await makeDatabase(server, database);
  const db = open(server, database, 1);
  await unguarded(db, [...fill(size), ...makeDue]);
  await db.query("VACUUM ANALYZE");
  // Those that are to be forsaken are paused by a sweep, so that the log says why.
  const { paused } = await sweep(db, REQUEST, { revokeIdleAfter: null });
  if (paused !== 2 * DUE) throw new Error(`${paused} were idle at first`);
  await db.close();
}

async function readTouched(server, database) {
  const db = open(server, database, 1);
  const [row] = await db.query(
    `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 AS touched FROM pg_stat_user_tables WHERE relname <> 'midctl_migration'`,
  );
  await db.close();
  return row.touched;
}

/** One sweep of everything that is due again, on a connection of its own: ms, and rows touched. */
async function sweepOnce(server, database) {
  const before = open(server, database, 1);
  await unguarded(before, [...makeDue, makeForsaken]);
  await before.close();
  const touched = await readTouched(server, database);
  const db = open(server, database, 1);
  await db.query("SELECT 1");
  const start = performance.now();
  const done = await sweep(db, REQUEST, { revokeIdleAfter: MONTH });
  const ms = performance.now() - start;
  await db.close();
  if (done.paused !== DUE || done.revoked !== DUE || done.abandoned !== DUE)
    throw new Error(`not what was due: ${JSON.stringify(done)}`);
  return { ms, touched: (await readTouched(server, database)) - touched };
}

/** What doctor's hygiene reads from end to end: the table of each whole scan in its plans. */
async function wholeScans(db) {
  const scans = [];
  const nodes = (plan) => [plan, ...(plan.Plans ?? []).flatMap(nodes)];
  await readHygiene({
    async query(text, params) {
      const [row] = await db.query(`EXPLAIN (FORMAT JSON) ${text}`, params);
      for (const node of nodes(row["QUERY PLAN"][0].Plan))
        if (node["Node Type"] === "Seq Scan") scans.push(node["Relation Name"]);
      return db.query(text, params);
    },
  });
  return scans;
}

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, {
  ...major,
  settings: { autovacuum: "off", fsync: "off", max_wal_size: "1GB", shared_buffers: "256MB", jit: "off" },
});
try {
  await load(server, "small", SMALL);
  await load(server, "large", LARGE);
  startTable(
    `Sweep: ${LARGE.toLocaleString("en")} against ${SMALL.toLocaleString("en")} identities, ${3 * DUE} due in each, PostgreSQL ${server.major}`,
  );
  const touched = { small: [], large: [] };
  const run = (name) => async () => {
    const once = await sweepOnce(server, name);
    touched[name].push(once.touched);
    return once.ms;
  };
  const figures = await takeTurns({ small: run("small"), large: run("large") }, rounds);
  judge("time of a sweep", ratio(figures, "large", "small"), { atMost: 1.3 });
  judge(
    "rows touched by a sweep of the large one, for each that was due",
    median(touched.large) / (3 * DUE),
    { atMost: 20 },
    "",
  );
  for (const name of ["small", "large"]) {
    const ms = median(figures.get(name));
    say(
      `\n${name}: ${ms.toFixed(0)} ms, ${((1000 * ms) / (3 * DUE)).toFixed(0)} µs for each that was due; ${median(touched[name])} rows touched`,
    );
    const db = open(server, name, 2);
    await sweep(db, REQUEST, { revokeIdleAfter: MONTH });
    const start = performance.now();
    await sweep(db, REQUEST, { revokeIdleAfter: MONTH });
    say(`${name}: ${(performance.now() - start).toFixed(0)} ms where nothing is due`);
    const asked = performance.now();
    await readHygiene(db);
    const read = performance.now();
    await diagnose(db, () => Date.now());
    say(
      `${name}: doctor's hygiene ${(read - asked).toFixed(0)} ms, all of doctor ${(performance.now() - read).toFixed(0)} ms`,
    );
    if (name === "large") {
      const scans = await wholeScans(db);
      // Last uses have no index: every use would write it.
      judge(`tables that hygiene reads whole (${scans.join(", ")})`, scans.length, { atMost: 2 }, "");
    }
    await db.close();
  }
} finally {
  await server.stop();
  scratch.remove();
}
finish();
