/**
 * Verifying the log: `midctl audit verify`, the whole command, against a process that reads the same entries page by page and hashes
 * them with SHA-256.
 *
 *   node bench/audit.mjs [--rounds 3] [--entries 1000000] [--major 18]
 */
import { parseArgs } from "node:util";
import { finish, judge, median, ratio, runWell, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    entries: { type: "string", default: "1000000" },
    major: { type: "string" },
  },
});
const [rounds, entries] = [options.rounds, options.entries].map(Number);
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
const LIBRARY = new URL("../dist/lib/db/postgres.js", import.meta.url).href;
const MOST_MEMORY = 200;
/** Identities made in one statement. */
const STEP = 20_000;

const READER = `
import { hash } from "node:crypto";
import { openPostgres } from ${JSON.stringify(LIBRARY)};
const db = openPostgres({ url: process.env.MIDCTL_DATABASE_URL });
for (let at = 0; at < ${entries}; at += 4096) {
  const rows = await db.query('SELECT entry FROM midctl_log WHERE "index" >= $1::bigint AND "index" < $2::bigint ORDER BY "index"', [at, at + 4096]);
  for (const { entry } of rows) hash("sha256", entry);
}
await db.close();`;

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, {
  ...major,
  settings: { autovacuum: "off", fsync: "off", max_wal_size: "2GB", shared_buffers: "512MB" },
});
try {
  await makeDatabase(server, "log");
  const db = open(server, "log", 1);
  for (let at = 1; at < entries; at += STEP) {
    await db.query(
      `INSERT INTO machine_identity ("publicId", slug, kind, "displayName", owner)
       SELECT lpad(n::text, 12, '0'), 'svc-' || n, 'service', 'a service', 'team' FROM generate_series(${at}, ${Math.min(at + STEP, entries) - 1}) n`,
    );
  }
  await db.query("VACUUM ANALYZE midctl_log");
  await db.close();
  const env = { HOME: scratch.dir, MIDCTL_DATABASE_URL: urlOf(server, "log") };
  let peak = 0;
  const figures = await takeTurns(
    {
      midctl: async () => {
        const ran = await runWell([PROGRAM, "audit", "verify", "--json"], { env });
        const { ok, size } = JSON.parse(ran.stdout);
        if (!ok || size !== entries) throw new Error(ran.stdout);
        peak = Math.max(peak, ran.peak);
        return ran.ms;
      },
      alone: async () => (await runWell(["--input-type=module", "-e", READER], { env })).ms,
    },
    rounds,
  );
  startTable(`Verifying the log: PostgreSQL ${server.major}, ${entries} entries`);
  judge("audit verify : reading and hashing alone", ratio(figures, "midctl", "alone"), { atMost: 2 });
  judge("its memory", peak, { atMost: MOST_MEMORY }, "MiB");
  const [ours, alone] = ["midctl", "alone"].map((name) => (median(figures.get(name)) / 1000).toFixed(1));
  say(`\naudit verify ${ours} s, reading and hashing ${alone} s`);
} finally {
  await server.stop();
  scratch.remove();
}
finish();
