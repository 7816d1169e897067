/**
 * better-auth's api-key plugin on the same PostgreSQL. It is no dependency of midctl's: bench/better-auth has a package and
 * lock file of its own, which is installed there the first time this runs (`npm ci --ignore-scripts`).
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createAuthenticator } from "../../dist/lib/index.js";
import { judge, median, ratio, say, startTable, takeTurns } from "../measure.mjs";
import { open } from "../server.mjs";
import { startChild } from "./child.mjs";
import { measureRate } from "./rate.mjs";

const IN_FLIGHT = 32;
const KEYS = 1_000;
const directory = fileURLToPath(new URL("../better-auth", import.meta.url));

function install() {
  if (existsSync(`${directory}/node_modules/better-auth`)) return;
  say("installing better-auth: npm ci --ignore-scripts in bench/better-auth");
  const npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  execFileSync("npm", npm, { cwd: directory, stdio: ["ignore", "ignore", "inherit"] });
}

export async function measureBetterAuth({ server, database, tokens, rounds, seconds }) {
  install();
  const { socketDir, port, user } = server;
  const root = open(server, "postgres", 1);
  await root.query("CREATE DATABASE better_auth TEMPLATE template0");
  await root.close();
  const theirs = await startChild("better-auth/verify.mjs", {
    ...{ socketDir, port, user, database: "better_auth" },
    keys: KEYS,
  });
  const db = open(server, database, 4);
  const [uncached, cached] = [false, true].map((cache) => createAuthenticator({ db, cache }));
  const known = tokens.slice(0, KEYS);
  const verify = (authenticator) => () =>
    measureRate(IN_FLIGHT, seconds, (n) => authenticator.authenticate(known[n % KEYS]));
  const ask = (mode) => async () => (await theirs.ask({ mode, inFlight: IN_FLIGHT, seconds })).rate;
  try {
    const figures = await takeTurns(
      {
        uncached: verify(uncached),
        cached: verify(cached),
        database: ask("database"),
        memory: ask("memory"),
      },
      rounds,
    );
    startTable(`better-auth's verifyApiKey: ${IN_FLIGHT} in flight, ${KEYS} keys`);
    judge("uncached : better-auth on the database", ratio(figures, "uncached", "database"), { atLeast: 10 });
    judge("cached : better-auth on the database", ratio(figures, "cached", "database"), { atLeast: 10 });
    const rates = [...figures].map(([name, values]) => `${name} ${median(values).toFixed(0)}/s`);
    say(
      `\n${rates.join(", ")}; cached : better-auth in memory ${ratio(figures, "cached", "memory").toFixed(1)} ×`,
    );
  } finally {
    await theirs.kill();
    await Promise.all([uncached.close(), cached.close()]);
    await db.close();
  }
}
