/**
 * A plan of many targets, from request to execution: what each step costs per line, whether that grows, and its memory.
 *
 *   node bench/approve.mjs [--lines 10000] [--small 1000]
 *
 * The real program, each step a process of its own, with real keys, against a server with fsync.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { migrate } from "../dist/lib/db/migrate.js";
import { finish, judge, runNode, say, startTable } from "./measure.mjs";
import { makeScratch, open, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: { lines: { type: "string", default: "10000" }, small: { type: "string", default: "1000" } },
});
const PROGRAM = new URL("../bin/midctl.cjs", import.meta.url).pathname;
const MOST_MEMORY = 300;

/** Runs a command to its end. */
const run = (env, cwd, words) => runNode([PROGRAM, ...words], { env, cwd });

async function walk(server, scratch, lines) {
  const name = `plan${lines}`;
  const root = open(server, "postgres", 1);
  await root.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  await root.close();
  const db = open(server, name, 1);
  await migrate(db);
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
     SELECT lpad(n::text, 12, '0'), 'bot-' || n, 'bot', 'service', 'platform' FROM generate_series(1, $1::int) n`,
    [lines],
  );
  await db.query("UPDATE midctl_environment SET protected = true");
  await db.close();

  const dir = join(scratch.dir, name);
  mkdirSync(join(dir, "trust"), { recursive: true, mode: 0o700 });
  for (const who of ["alice", "bob"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", join(dir, who)]);
  }
  const key = (who) => readFileSync(join(dir, `${who}.pub`), "utf8").trim();
  writeFileSync(join(dir, "trust", "allowed_signers"), `alice ${key("alice")}\nbob ${key("bob")}\n`);
  writeFileSync(join(dir, "trust", "policy.json"), '{"quorum":1}');
  const env = {
    ...process.env,
    HOME: dir,
    MIDCTL_DATABASE_URL: urlOf(server, name),
    MIDCTL_TRUST_DIR: join(dir, "trust"),
  };
  const slugs = Array.from({ length: lines }, (_, n) => `bot-${n + 1}`);
  const step = async (words, exit = 0) => {
    const done = await run(env, dir, words);
    if (done.code !== exit) throw new Error(`${words[0]} ${words[1]}: exit ${done.code}: ${done.stderr}`);
    return done;
  };
  const request = await step(["pause", ...slugs, "--key", join(dir, "alice"), "--json"], 6);
  const { approval } = JSON.parse(request.stderr).error.details;
  const show = await step(["approval", "show", approval, "--all", "--json"]);
  const approve = await step(["approval", "approve", approval, "--key", join(dir, "bob"), "--yes"]);
  const apply = await step(["approval", "apply", approval, "--json"]);
  return { request, show, approve, apply };
}

const scratch = makeScratch();
const server = await startServer(scratch);
try {
  const [small, large] = [Number(options.small), Number(options.lines)];
  say(`# A plan of ${large} targets · PostgreSQL ${server.major}, Node ${process.version}`);
  const [few, many] = [await walk(server, scratch, small), await walk(server, scratch, large)];
  startTable(`each step, per line against a plan of ${small}`);
  for (const name of ["request", "show", "apply"]) {
    judge(name, many[name].ms / large / (few[name].ms / small), { atMost: 1.3 });
  }
  for (const name of ["request", "show", "approve", "apply"]) {
    judge(`memory of ${name}`, many[name].peak, { atMost: MOST_MEMORY }, "MiB");
  }
  say("");
  for (const [name, { ms }] of Object.entries(many)) say(`- ${name}: ${(ms / 1000).toFixed(1)} s`);
  finish();
} finally {
  await server.stop();
  scratch.remove();
}
