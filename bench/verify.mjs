/**
 * Verifying: decisions without and with cache, `/auth` by HTTP, letting go, and better-auth beside it, on one PostgreSQL.
 *
 *   node bench/verify.mjs [--rounds 7] [--seconds 3] [--pauses 300] [--deaths 5] [--tokens 10000]
 *                         [--only uncached,cached,trust,http,let-go,better-auth,flood] [--major 18] [--pgbench PATH] [--threads 1]
 *
 * better-auth is installed into bench/better-auth the first time. `--threads` are pgbench's.
 */
import { hash } from "node:crypto";
import { parseArgs } from "node:util";
import { createAuthenticator } from "../dist/lib/index.js";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer } from "./server.mjs";
import { measureBetterAuth } from "./verify/better-auth.mjs";
import { measureHttp } from "./verify/http.mjs";
import { measureLetGo } from "./verify/let-go.mjs";
import { findPgbench, runPgbench, writeSelect } from "./verify/pgbench.mjs";
import { measureCost, measureRate } from "./verify/rate.mjs";
import { createTokenOf, makeTokens } from "./verify/tokens.mjs";
import { measureTrust } from "./verify/trust.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "3" },
    pauses: { type: "string", default: "300" },
    deaths: { type: "string", default: "5" },
    tokens: { type: "string", default: "10000" },
    only: { type: "string", default: "uncached,cached,trust,http,let-go,better-auth,flood" },
    major: { type: "string" },
    pgbench: { type: "string" },
    threads: { type: "string", default: "1" },
  },
});
const [rounds, seconds, pauses, deaths, size, threads] = [
  options.rounds,
  options.seconds,
  options.pauses,
  options.deaths,
  options.tokens,
  options.threads,
].map(Number);
const DATABASE = "verify";
/** So many tokens are kept in the cache while it is measured, and so many decisions are one figure. */
const CACHED = 1_000;
const TIMES = 200_000;

/** Uncached decisions with 32 and 128 in flight against pgbench's prepared select with 32 clients. */
async function measureUncached({ server, db, tokens }) {
  const pgbench = findPgbench(options.pgbench);
  const script = writeSelect(scratch.dir, tokens.length);
  const authenticator = createAuthenticator({ db, cache: false });
  const verify = (inFlight) => () =>
    measureRate(inFlight, seconds, (n) => expectGood(authenticator, tokens[n % tokens.length]));
  const figures = await takeTurns(
    {
      32: verify(32),
      128: verify(128),
      pgbench: () => runPgbench(pgbench, server, DATABASE, script, { clients: 32, threads, seconds }),
    },
    rounds,
  );
  await authenticator.close();
  startTable(`Uncached: PostgreSQL ${server.major}, ${tokens.length} tokens`);
  judge("uncached, 32 in flight : pgbench", ratio(figures, "32", "pgbench"), { atLeast: 1.5 });
  judge("uncached, 128 in flight : pgbench", ratio(figures, "128", "pgbench"), { atLeast: 1.5 });
  say(`\n${tell(figures, "/s")}`);
}

/** A cached decision against the SHA-256 of its token, one after the other in this process. */
async function measureCached({ db, tokens }) {
  const authenticator = createAuthenticator({ db });
  const known = tokens.slice(0, CACHED);
  await warm(authenticator, known);
  const before = authenticator.counters;
  const figures = await takeTurns(
    {
      decision: () => measureCost(TIMES, (n) => authenticator.authenticate(known[n % CACHED])),
      sha256: () => measureCost(TIMES, (n) => hash("sha256", known[n % CACHED], "hex")),
    },
    rounds * 3,
  );
  const after = authenticator.counters;
  await authenticator.close();
  const share = (after.cached - before.cached) / (after.decisions - before.decisions);
  if (!(share > 0.99)) throw new Error(`only ${(share * 100).toFixed(1)} % were decided from the cache`);
  startTable(`Cached: ${CACHED} tokens`);
  judge("a cached decision : one SHA-256 of its token", ratio(figures, "decision", "sha256"), { atMost: 3 });
  say(`\n${tell(figures, " ns")}`);
}

/** Tokens that nobody issued, and known ids with another secret, against good ones: each asked for for the first time. */
async function measureFlood({ db, tokens }) {
  const authenticator = createAuthenticator({ db, cache: false });
  const unknown = tokens.map((_, n) => createTokenOf(`U${String(n).padStart(11, "0")}`).text);
  const forged = tokens.map((token) => createTokenOf(token.slice(9, 21)).text);
  const decide = (all) => () =>
    measureRate(32, seconds, (n) => authenticator.authenticate(all[n % all.length]));
  const malformed = tokens.map((token) => `${token.slice(0, -1)}_`);
  const figures = await takeTurns(
    { known: decide(tokens), unknown: decide(unknown), forged: decide(forged), malformed: decide(malformed) },
    rounds,
  );
  await authenticator.close();
  startTable("A flood of tokens that are not good, 32 in flight, uncached");
  const cost = (name) => 1 / ratio(figures, name, "known");
  judge("cost of an unknown token : a known one", cost("unknown"), { atMost: 1.2 });
  judge("cost of a wrong secret : a known one", cost("forged"), { atMost: 1.2 });
  say(`\n${tell(figures, "/s")}; a malformed one costs ${cost("malformed").toFixed(3)} ×`);
}

async function expectGood(authenticator, token) {
  const decision = await authenticator.authenticate(token);
  if (!decision.ok) throw new Error(`a good token is ${decision.code}`);
}

/** Until every one of these is answered from the cache. */
async function warm(authenticator, tokens) {
  for (let attempt = 0; attempt < 100; attempt++) {
    const before = authenticator.counters.cached;
    await Promise.all(tokens.map((token) => expectGood(authenticator, token)));
    if (authenticator.counters.cached - before === tokens.length) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the cache does not fill");
}

function tell(figures, unit) {
  return [...figures].map(([name, values]) => `${name} ${median(values).toFixed(0)}${unit}`).join(", ");
}

const sections = {
  uncached: measureUncached,
  cached: measureCached,
  trust: measureTrust,
  http: measureHttp,
  "let-go": measureLetGo,
  "better-auth": measureBetterAuth,
  flood: measureFlood,
};

const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { autovacuum: "off" } });
try {
  await makeDatabase(server, DATABASE);
  const db = open(server, DATABASE, 8);
  const tokens = await makeTokens(db, size);
  const scene = { scratch, server, database: DATABASE, db, tokens, rounds, seconds, pauses, deaths };
  for (const name of options.only.split(",")) {
    const section = sections[name];
    if (section === undefined) throw new Error(`there is no section ${name}`);
    await section(scene);
  }
  await db.close();
} finally {
  await server.stop();
  scratch.remove();
}
finish();
