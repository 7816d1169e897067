/**
 * better-auth's api-key plugin in its fastest configuration, in a process of its own: bench/verify.mjs starts it and tells
 * it when to run. Argv: JSON of `{ socketDir, port, user, database, keys }`.
 *
 * Rate limit, expiry check of requests, metadata, telemetry and logging off, updates deferred, as many connections as gain
 * anything, and commits that do not wait for the disk (ours here writes nothing; better-auth writes two columns with each
 * verification). `memory` keeps the keys in a Map as secondary storage and asks no database at all.
 */
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import pg from "pg";

const { keys: wanted, ...place } = JSON.parse(process.argv[2]);
const pool = new pg.Pool({
  host: place.socketDir,
  port: place.port,
  user: place.user,
  database: place.database,
  max: 16,
  options: "-c synchronous_commit=off",
});

const COMMON = { rateLimit: { enabled: false }, deferUpdates: true, enableMetadata: false };

function create(plugin, more = {}) {
  return betterAuth({
    database: pool,
    secret: "0123456789abcdef0123456789abcdef",
    baseURL: "http://localhost:3000",
    telemetry: { enabled: false },
    logger: { disabled: true },
    rateLimit: { enabled: false },
    plugins: [apiKey({ ...COMMON, ...plugin })],
    ...more,
  });
}

const kept = new Map();
const storage = {
  get: (key) => kept.get(key) ?? null,
  set: (key, value) => void kept.set(key, value),
  delete: (key) => void kept.delete(key),
};
const auths = {
  database: create({ storage: "database" }),
  memory: create({ storage: "secondary-storage", customStorage: storage }),
};

async function makeKeys(auth) {
  const context = await auth.$context;
  const user = await context.internalAdapter.createUser({
    name: "bench",
    email: `bench-${Math.random().toString(36).slice(2)}@example.com`,
    emailVerified: true,
  });
  const made = [];
  for (let n = 0; n < wanted; n++) {
    made.push((await auth.api.createApiKey({ body: { name: `bench-${n}`, userId: user.id } })).key);
  }
  return made;
}

/** Verifications per second with `inFlight` callers, each waiting for its own before the next. */
async function run({ mode, inFlight, seconds }) {
  const auth = auths[mode];
  const keys = made[mode];
  let done = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      for (let n = caller; performance.now() < end; n += inFlight) {
        const { valid } = await auth.api.verifyApiKey({ body: { key: keys[n % keys.length] } });
        if (!valid) throw new Error("better-auth refused a key of its own");
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - start) / 1000);
}

const { runMigrations } = await getMigrations(auths.database.options);
await runMigrations();
await pool.query("CREATE INDEX IF NOT EXISTS apikey_key_bench_idx ON apikey (key)");
const made = {};
for (const [mode, auth] of Object.entries(auths)) made[mode] = await makeKeys(auth);
await pool.query("VACUUM ANALYZE");

process.on("message", (order) => {
  run(order).then(
    (rate) => process.send({ rate }),
    (error) => process.send({ error: String(error) }),
  );
});
process.on("disconnect", () => process.exit());
process.send({ ready: true });
