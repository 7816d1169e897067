/**
 * Starting: what a command costs beside `node -e 0`, against a server, against the embedded engine and without it.
 *
 *   node bench/start.mjs [--rounds 60] [--first 8]
 *
 * As an ordinary user or as root; its stores and servers are its own and go with it. Memory is proportional (PSS): other
 * servers that run from the same files share the program's pages, and make it look smaller.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { finish, judge, median, ratio, say, startTable, takeTurns } from "./measure.mjs";
import { makeDatabase, makeScratch, startServer, urlOf } from "./server.mjs";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "60" }, first: { type: "string", default: "8" } },
});
const rounds = Number(options.rounds);
const MIDCTL = fileURLToPath(new URL("../bin/midctl.cjs", import.meta.url));

/** Milliseconds from spawn to exit; rejects unless it exits 0. */
function run(args, env = {}) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env.PATH, ...env },
    });
    let end = 0;
    let complaint = "";
    child.stderr.on("data", (chunk) => {
      complaint += chunk;
    });
    child.on("exit", () => {
      end = performance.now();
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(end - start);
      else reject(new Error(`node ${args.join(" ")} exited ${code}: ${complaint}`));
    });
  });
}

const node = () => run(["-e", "0"]);
const midctl = (args, env) => run([MIDCTL, ...args], env);

/** A machine of its own: no store, no configuration, and a code cache only where it is given one. */
function emptyMachine(cacheHome) {
  const home = mkdtempSync(join(scratch.dir, "home-"));
  chmodSync(home, 0o755);
  const env = {
    HOME: home,
    XDG_DATA_HOME: join(home, "data"),
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_STATE_HOME: join(home, "state"),
    XDG_CACHE_HOME: cacheHome ?? join(home, "cache"),
    MIDCTL_DATA_DIR: join(home, "store"),
  };
  return { env, remove: () => rmSync(home, { recursive: true, force: true }) };
}

/** The least that asking a server can cost: one socket, one statement by the simple protocol, its answer. */
const WIRE_QUERY = `
const socket = require("node:net").connect(process.argv[1]);
const text = (s) => Buffer.from(s + "\\0");
const message = (type, body) => { const head = Buffer.alloc(type ? 5 : 4); if (type) head.write(type); head.writeInt32BE(body.length + 4, head.length - 4); return Buffer.concat([head, body]); };
const version = Buffer.alloc(4); version.writeInt32BE(196608);
socket.write(message("", Buffer.concat([version, text("user"), text(process.argv[2]), text("database"), text(process.argv[3]), Buffer.alloc(1)])));
let asked = false;
socket.on("data", (bytes) => {
  if (bytes.at(-6) !== 0x5a) return;
  if (asked) process.exit(0);
  asked = true;
  socket.write(message("Q", text("SELECT slug FROM machine_identity ORDER BY slug LIMIT 51")));
});
`;

/** Proportional memory of every process that works in the directory, in MB. */
function memoryUnder(directory) {
  let kilobytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readlinkSync(`/proc/${pid}/cwd`).startsWith(directory)) continue;
      kilobytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]);
    } catch {
      // another user's, or gone meanwhile
    }
  }
  return kilobytes / 1024;
}

async function measureHelp(cacheHome) {
  const machine = emptyMachine(cacheHome);
  const figures = await takeTurns({ node, help: () => midctl(["--help"], machine.env) }, rounds);
  judge("`midctl --help`", ratio(figures, "help", "node"), { atMost: 1.15 });
  remark(figures);
}

async function measureServer(cacheHome) {
  const server = await startServer(scratch);
  try {
    await makeDatabase(server, "start");
    const { env } = emptyMachine(cacheHome);
    const socket = `${server.socketDir}/.s.PGSQL.${server.port}`;
    const figures = await takeTurns(
      {
        node,
        wire: () => run(["-e", WIRE_QUERY, socket, server.user, "start"]),
        list: () => midctl(["list"], { ...env, MIDCTL_DATABASE_URL: urlOf(server, "start") }),
      },
      rounds,
    );
    judge("`midctl list`, a local server", ratio(figures, "list", "node"), { atMost: 2.4 });
    remark(figures, `a bare wire query is ${ratio(figures, "wire", "node").toFixed(2)} ×`);
  } finally {
    await server.stop();
  }
}

async function measureEngine() {
  const machine = emptyMachine(); // the code cache is that of its own first use, which made the store
  await midctl(["list"], machine.env);
  await new Promise((resolve) => setTimeout(resolve, 3000)); // idle: the first checkpoint and vacuum are over
  judge("idle memory of the engine (PSS)", memoryUnder(machine.env.MIDCTL_DATA_DIR), { atMost: 25 }, "MB");
  const up = await takeTurns({ node, list: () => midctl(["list"], machine.env) }, rounds);
  judge("`midctl list`, the engine up", ratio(up, "list", "node"), { atMost: 2.4 });
  remark(up);
  const down = await takeTurns(
    {
      node,
      list: async () => {
        await midctl(["db", "stop"], machine.env);
        return midctl(["list"], machine.env);
      },
    },
    Math.ceil(rounds / 2),
  );
  judge("`midctl list`, the engine down", ratio(down, "list", "node"), { atMost: 3.8 });
  remark(down);
  await midctl(["db", "stop"], machine.env);
  machine.remove();
}

async function measureFirst() {
  const figures = await takeTurns(
    {
      node,
      first: async () => {
        const machine = emptyMachine();
        try {
          return await midctl(["list"], machine.env);
        } finally {
          await midctl(["db", "stop"], machine.env);
          machine.remove();
        }
      },
    },
    Number(options.first),
  );
  judge("first command on an empty machine", ratio(figures, "first", "node"), { atMost: 18 });
  remark(figures);
}

const remarks = [];
function remark(figures, ...more) {
  const medians = [...figures].map(([name, values]) => `${name} ${median(values).toFixed(1)} ms`);
  remarks.push([...medians, ...more].join(", "));
}

const scratch = makeScratch();
try {
  const cacheHome = join(scratch.dir, "cache");
  startTable(`Starting, Node ${process.version}`);
  await measureHelp(cacheHome);
  await measureEngine();
  await measureFirst();
  await measureServer(cacheHome);
  say(`\n${remarks.join("\n")}`);
} finally {
  scratch.remove();
}
finish();
