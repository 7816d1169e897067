/**
 * Issuing at the pace of pgbench: identity, credential, token and log entries, through the operation that
 * `credential issue --create` calls, against pgbench sending the very same statements to the same server.
 *
 *   node bench/issue.mjs [--rounds 7] [--seconds 4] [--major 18] [--pgbench PATH]
 */
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { createToken } from "../dist/lib/domain/token.js";
import { issueCredential } from "../dist/lib/operations/credential-issue.js";
import { previewIssuance } from "../dist/lib/operations/issuance.js";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, open, startServer } from "./server.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "4" },
    major: { type: "string" },
    pgbench: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const DATABASE = "issue";

const request = { actor: { kind: "operator", name: "bench" }, reason: null };

/** One whole issuance as the CLI does it: what it will be held to is read first, then everything is written. */
async function issue(db, unique) {
  const slug = `bench-${unique}`;
  const seen = await previewIssuance(db, slug, "default");
  const secret = createToken(seen.environment.kind, randomBytes);
  const identity = {
    slug,
    kind: "service",
    provider: null,
    threadId: null,
    owner: "bench",
    displayName: null,
    labels: null,
    parent: null,
    workspace: null,
    expiresIn: null,
    idleTtl: null,
  };
  const issuance = {
    identity,
    name: "default",
    scopes: ["cards:*"],
    expiresIn: 90 * 86_400,
    activateWithin: 86_400,
    secret,
    replacePending: false,
  };
  const issued = await issueCredential(db, request, issuance, seen);
  return { ...issued, secret };
}

/** Issues per second of `clients` callers in one process, each waiting for its own before the next. */
async function runNode(server, clients) {
  const db = open(server, DATABASE, clients);
  await Promise.all(Array.from({ length: clients }, () => issue(db, randomBytes(8).toString("hex"))));
  let done = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < end) {
        await issue(db, randomBytes(8).toString("hex"));
        done += 1;
      }
    }),
  );
  const took = performance.now() - start;
  await db.close();
  return done / (took / 1000);
}

/** Every statement of one issuance, as sent. */
async function recordIssue(server) {
  const db = open(server, DATABASE, 1);
  const sent = [];
  const record = (tx) => ({
    query: (text, params = []) => {
      sent.push({ text, params });
      return tx.query(text, params);
    },
  });
  const recorded = {
    ...record(db),
    transaction: (work) =>
      db.transaction(async (tx) => {
        sent.push({ text: "BEGIN ISOLATION LEVEL READ COMMITTED", params: [] });
        const result = await work(record(tx));
        sent.push({ text: "COMMIT", params: [] });
        return result;
      }),
  };
  const { secret, identity } = await issue(recorded, "recorded");
  await db.close();
  return { sent, secret, identity };
}

/** The statements as a pgbench script: parameters as literals, what must be new each time made from one number. */
function writeScript(path, { sent, secret, identity }) {
  const fresh = new Map([
    ["bench-recorded", `('bench-' || :n)`],
    [identity.publicId, `lpad(:n, 12, '0')`],
    [secret.publicId, `lpad(:n, 12, '0')`],
    [secret.hash, `lpad(:n, 64, '0')`],
  ]);
  const literal = (value) => {
    if (value === null) return "NULL";
    if (typeof value === "number") return `${value}`;
    return fresh.get(value) ?? quote(String(value));
  };
  const lines = sent.map(
    ({ text, params }) =>
      `${text.replaceAll(/\$(\d+)/g, (_, index) => literal(params[index - 1])).replaceAll(/\s*\n\s*/g, " ")};`,
  );
  writeFileSync(path, `\\set n random(1, 900000000000)\n${lines.join("\n")}\n`);
}

/** Of all statements those that write: what is read for refusals, retries and the answer is left out. */
const WRITES = /^(BEGIN|SELECT set_config|INSERT|WITH made|COMMIT)/;

/** pgbench takes `:word` for a variable, inside of quotes too. */
function quote(text) {
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll(":", "\\x3a")}'`;
}

async function runPgbench(server, script, clients) {
  const args = ["-n", "-f", script, "-c", `${clients}`, "-j", "1", "-T", `${seconds}`, "-M", "prepared"];
  const { stdout } = await promisify(execFile)(pgbench, [
    ...args,
    ...["-h", server.socketDir, "-p", `${server.port}`, "-U", server.user, DATABASE],
  ]);
  return Number(/^tps = ([\d.]+)/m.exec(stdout)[1]);
}

function findPgbench() {
  const places = [
    options.pgbench,
    ...[18, 17, 16, 15].map((major) => `/usr/lib/postgresql/${major}/bin/pgbench`),
  ];
  const found = places.find((place) => place !== undefined && existsSync(place));
  if (found !== undefined) return found;
  return execFileSync("sh", ["-c", "command -v pgbench"], { encoding: "utf8" }).trim();
}

const pgbench = findPgbench();
const scratch = makeScratch();
const major = options.major === undefined ? {} : { major: Number(options.major) };
const server = await startServer(scratch, { ...major, settings: { autovacuum: "off" } });
try {
  await makeDatabase(server, DATABASE);
  const recorded = await recordIssue(server);
  const script = join(scratch.dir, "issue.pgbench");
  const writes = join(scratch.dir, "writes.pgbench");
  writeScript(script, recorded);
  writeScript(writes, { ...recorded, sent: recorded.sent.filter(({ text }) => WRITES.test(text)) });
  startTable(`Issue: PostgreSQL ${server.major}, ${recorded.sent.length} statements, fsync on`);
  const rates = [];
  for (const clients of [1, 8]) {
    const figures = await takeTurns(
      {
        midctl: () => runNode(server, clients),
        pgbench: () => runPgbench(server, script, clients),
        writes: () => runPgbench(server, writes, clients),
      },
      rounds,
    );
    const [ours, theirs] = ["midctl", "pgbench"].map((name) => median(figures.get(name)).toFixed(0));
    rates.push(
      `${clients} at once: midctl ${ours}/s, pgbench ${theirs}/s; the writes alone are ${ratio(figures, "midctl", "writes").toFixed(2)} ×`,
    );
    judge(
      `issue, ${clients} ${clients === 1 ? "client" : "clients"}, midctl : pgbench`,
      ratio(figures, "midctl", "pgbench"),
      { atLeast: 0.5 },
    );
  }
  say(`\n${rates.join("\n")}`);
} finally {
  await server.stop();
  scratch.remove();
}
finish();
