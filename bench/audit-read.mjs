/**
 * Reading the audit: each filter's first and deep page at a million entries of the log and a hundred thousand events of agents,
 * against a thousand of each, which fill every page too; and how soon `midctl audit follow` prints what was committed.
 *
 *   node bench/audit-read.mjs [--rounds 200] [--large 1000000] [--changes 500] [--major 18] [--only pages|follow]
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { listAudit } from "../dist/lib/operations/audit-list.js";
import { finish, judge, median, ratio, say, startTable } from "./measure.mjs";
import { compare, cursorAt, explain, LIMIT, readPage } from "./pages.mjs";
import { makeDatabase, makeScratch, open, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    large: { type: "string", default: "1000000" },
    changes: { type: "string", default: "500" },
    major: { type: "string" },
    only: { type: "string" },
  },
});
const [rounds, large, changes] = [options.rounds, options.large, options.changes].map(Number);
const SMALL = 1_000;
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
/** From commit to line, ms. */
const SOON = 100;

/** Entries are written as they are: what writes and guards them has its own measurement. */
const UNGUARD = ["machine_identity", "agent_token", "agent_audit_event", "midctl_log"].map(
  (table) => `ALTER TABLE ${table} DISABLE TRIGGER ALL`,
);

/**
 * `size` entries and a tenth as many events, but a thousand at least, over a hundred days, three quarters of them of one identity and
 * its credential and by one actor; a tree of a hundred has a fifth. `rare` is what 200 entries and 200 events have at any size, spread evenly.
 */
const fill = (size) => {
  const events = Math.max(1_000, size / 10);
  const entry = (n) =>
    `(SELECT ${n} AS n, ${n} % (${size} / 200) = 0 AS rare, hashint8(${n}) & 1073741823 AS hash)`;
  return [
    `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "parentId")
     SELECT lpad(n::text, 12, '0'), CASE n WHEN 1 THEN 'hot' WHEN 2 THEN 'root' WHEN 3 THEN 'rare' ELSE 'svc-' || n END, 'a service', 'service', 'team',
            CASE WHEN n BETWEEN 4 AND 102 THEN 2 + (n - 4) / 50 * 2 END
       FROM generate_series(1, 5000) n`,
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", "machineIdentityId")
     SELECT "publicId", slug, 'mid_test', lpad("publicId", 64, '0'), id FROM machine_identity`,
    `INSERT INTO midctl_log ("index", entry, "leafHash")
     SELECT m.n, m.entry, sha256('\\x00'::bytea || convert_to(m.entry, 'UTF8')) FROM (
       SELECT e.n, jsonb_build_object('v', 1, 'index', e.n, 'at', midctl_instant(timestamp '2026-08-01' + interval '100 days' * (e.n / ${size}.0)),
                'action', CASE WHEN e.rare THEN 'identity.resume' WHEN e.hash % 4 = 0 THEN 'identity.pause' ELSE 'credential.issue' END,
                'actor', jsonb_build_object('kind', 'operator', 'name', CASE WHEN e.rare THEN 'rare' WHEN e.hash % 4 = 0 THEN 'bob' ELSE 'alice' END),
                'sessionUser', 'midctl', 'identity', lpad(who.id::text, 12, '0'), 'slug', 'svc', 'credential', lpad(who.id::text, 12, '0'),
                'token', NULL, 'reason', 'because ' || CASE WHEN e.rare THEN 'of the needle' ELSE 'so' END, 'approval', NULL,
                'details', jsonb_build_object('name', 'default', 'scopes', jsonb_build_array('cards:*')))::text AS entry
         FROM generate_series(0, ${size} - 1) g(n), LATERAL ${entry("g.n")} e,
              LATERAL (SELECT CASE WHEN e.rare THEN 3 WHEN e.hash % 5 = 0 THEN 4 + (e.hash >> 8) % 99 ELSE 1 END AS id) who) m`,
    `INSERT INTO agent_audit_event ("publicId", "agentTokenId", "machineIdentityId", action, "createdAt")
     SELECT lpad(e.n::text, 12, '0'), who.id, CASE WHEN e.hash % 20 <> 1 THEN who.id END, CASE WHEN e.rare THEN 'card.delete' ELSE 'card.move' END,
            timestamp '2026-08-01' + interval '100 days' * (e.n / ${events}.0)
       FROM generate_series(0, ${events} - 1) g(n),
            LATERAL (SELECT g.n AS n, g.n % (${events} / 200) = 0 AS rare, hashint8(g.n) & 1073741823 AS hash) e,
            LATERAL (SELECT CASE WHEN e.rare THEN 3 WHEN e.hash % 5 = 0 THEN 4 + (e.hash >> 8) % 99 ELSE 1 END AS id) who`,
    "UPDATE midctl_log_head SET size = (SELECT count(*) FROM midctl_log)",
  ];
};

async function load(server, database, size) {
  await makeDatabase(server, database);
  const db = open(server, database, 1);
  await db.query("ALTER TABLE midctl_log_head DISABLE TRIGGER ALL");
  for (const statement of [...UNGUARD, "DELETE FROM midctl_log", ...fill(size), "VACUUM ANALYZE"])
    await db.query(statement);
  await db.close();
}

const day = (n) => new Date(Date.parse("2026-08-01T00:00:00Z") + n * 86_400_000).toISOString();
const listed =
  (filter) =>
  (db, { limit, cursor }) =>
    listAudit(db, { ...filter, limit, ...(cursor === null ? {} : { cursor }) });
const FILTERS = {
  everything: {},
  "identity of most": { identity: "hot" },
  "identity, rare": { identity: "rare" },
  "tree of a hundred": { identity: "root", descendants: true },
  "credential of most": { credential: "000000000001" },
  "credential, rare": { credential: "000000000003" },
  "actor of most": { actor: "alice" },
  "actor, rare": { actor: "rare" },
  "action of most": { action: "credential.issue" },
  "action, rare": { action: "identity.resume" },
  "actions by prefix": { action: "credential.*" },
  "actions by prefix, a quarter": { action: "identity.*" },
  "agents' action, rare": { action: "card.delete" },
  since: { since: day(1) },
  until: { until: day(99) },
  "since and until": { since: day(20), until: day(80) },
};

async function measurePages(server) {
  await load(server, "small", SMALL);
  await load(server, "large", large);
  const [few, many] = [open(server, "small", 1), open(server, "large", 1)];
  startTable(
    `Pages of the audit: ${large.toLocaleString("en")} against ${SMALL.toLocaleString("en")} entries, PostgreSQL ${server.major}`,
  );
  const [times, growing] = [[], []];
  for (const [name, filter] of Object.entries(FILTERS)) {
    const page = listed(filter);
    for (const depth of ["first", "deep"]) {
      const places = {
        small: depth === "deep" ? await cursorAt(page, few, LIMIT / 2) : null,
        large: depth === "deep" ? await cursorAt(page, many, 20_000) : null,
      };
      const rows = [await readPage(page, few, places.small), await readPage(page, many, places.large)];
      if (rows.some(({ events }) => events.length < LIMIT)) {
        if (depth === "deep") continue; // what is rare has no deep page
        throw new Error(`${name}: a page is not full, and the comparison says nothing`);
      }
      const figures = await compare(server, page, places, rounds);
      judge(`${name}, ${depth} page`, ratio(figures, "large", "small"), { atMost: 1.2 });
      times.push(
        `${name} ${depth}: ${median(figures.get("small")).toFixed(2)} → ${median(figures.get("large")).toFixed(2)} ms`,
      );
      growing.push(
        ...(await explain(page, many, places.large, large / 100)).map((node) => `${name}, ${depth}: ${node}`),
      );
    }
  }
  judge("plan nodes that touch more than a hundredth of the million", growing.length, { atMost: 0 }, "");
  const begun = performance.now();
  const { events } = await listed({ grep: "NEEDLE" })(many, { limit: 1000, cursor: null });
  say(
    `\n--grep through all of it: ${((performance.now() - begun) / 1000).toFixed(1)} s, ${events.length} found`,
  );
  say(`\n${[...growing, ...times].join("\n")}`);
  await few.close();
  await many.close();
}

/** From when a commit was answered to when its line was read, by the clock of this process; entries and agents' events by turns. */
async function measureFollow(server) {
  await makeDatabase(server, "followed");
  const db = open(server, "followed", 1);
  const child = spawn(process.execPath, [PROGRAM, "audit", "follow", "--debug"], {
    env: { ...process.env, HOME: scratch.dir, MIDCTL_DATABASE_URL: urlOf(server, "followed") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const heard = new Map();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, machineIdentity } = JSON.parse(line);
    heard.get(machineIdentity?.slug ?? id)?.(performance.now());
  });
  await new Promise((resolve) =>
    createInterface({ input: child.stderr }).on("line", (line) => line.endsWith("follow") && resolve()),
  );
  const late = [];
  for (let n = 0; n < changes; n++) {
    const id = String(n).padStart(12, "0");
    const [name, statement] =
      n % 2 === 0
        ? [
            `svc-${n}`,
            `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner) VALUES ('${id}', 'svc-${n}', 'service', 'x', 'x')`,
          ]
        : [`ev_${id}`, `INSERT INTO agent_audit_event ("publicId", action) VALUES ('${id}', 'card.move')`];
    const line = new Promise((resolve) => heard.set(name, resolve));
    await db.query(statement);
    const committed = performance.now();
    late.push(Math.max(0, (await line) - committed));
    await sleep(Math.random() * 60);
  }
  child.kill("SIGKILL");
  await db.close();
  late.sort((a, b) => a - b);
  const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
  startTable(`Following the audit, PostgreSQL ${server.major}, ${changes} changes`);
  judge("commit to line, p99", at(0.99), { atMost: SOON }, "ms");
  say(`\nmedian ${at(0.5).toFixed(1)}, p90 ${at(0.9).toFixed(1)}, worst ${at(1).toFixed(1)} ms`);
}

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, {
  keepsMemory: true,
  ...major,
  // A command asks once, and has its statement planned for what it asks.
  settings: {
    autovacuum: "off",
    fsync: "off",
    max_wal_size: "256MB",
    shared_buffers: "256MB",
    jit: "off",
    plan_cache_mode: "force_custom_plan",
  },
});
try {
  if (options.only !== "follow") await measurePages(server);
  if (options.only !== "pages") await measureFollow(server);
} finally {
  await server.stop();
  scratch.remove();
}
finish();
