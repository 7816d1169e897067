/** `/auth` of `midctl serve` against an empty handler on the same server, asked by the same client. */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { judge, median, ratio, say, startTable, takeTurns } from "../measure.mjs";
import { urlOf } from "../server.mjs";
import { end, startChild } from "./child.mjs";

const MIDCTL = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));
const CONNECTIONS = 64;

export async function measureHttp({ scratch, server, database, tokens, rounds, seconds }) {
  const servers = [];
  try {
    const serve = async (...flags) => {
      const started = await startMidctl(scratch, urlOf(server, database), flags);
      servers.push(started);
      return started.port;
    };
    const quiet = await serve("--no-access-log");
    const logging = await serve();
    const empty = await startChild("verify/empty-server.mjs", {});
    servers.push(empty);
    const load = await startChild("verify/http-load.mjs", {
      connections: CONNECTIONS,
      path: "/auth",
      tokens: tokens.slice(0, CONNECTIONS),
    });
    servers.push(load);
    const ask = (port) => async () => (await load.ask({ port, seconds })).rate;
    const figures = await takeTurns(
      { empty: ask(empty.greeting.port), quiet: ask(quiet), logging: ask(logging) },
      rounds,
    );
    startTable(`/auth by HTTP: ${CONNECTIONS} connections kept alive, cached`);
    judge("`/auth` : an empty handler", ratio(figures, "quiet", "empty"), { atLeast: 0.8 });
    const [bare, ours] = ["empty", "quiet"].map((name) => median(figures.get(name)).toFixed(0));
    say(
      `\nempty ${bare}/s, /auth ${ours}/s; with its access log ${ratio(figures, "logging", "empty").toFixed(2)} ×`,
    );
  } finally {
    await Promise.all(servers.map((started) => started.kill()));
  }
}

/** Starts `midctl serve` on any free port, and waits until it says which. Its end gives its lease up: nobody waits for it. */
function startMidctl(scratch, url, flags) {
  const home = mkdtempSync(join(scratch.dir, "home-"));
  const child = spawn(process.execPath, [MIDCTL, "serve", "--listen", "127.0.0.1:0", "--json", ...flags], {
    env: { PATH: process.env.PATH, HOME: home, MIDCTL_DATABASE_URL: url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let said = "";
    let complaint = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      const port = /"port":\s*(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve({ port: Number(port), kill: () => end(child, "SIGTERM") });
    });
    child.stderr.on("data", (chunk) => {
      if (complaint.length < 2_000) complaint += chunk;
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`midctl serve exited ${code}: ${complaint}`)));
  });
}
