import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import postgres, { type Sql } from "postgres";
import { addressOf } from "../../src/db/engine/location.ts";
import { runCommand } from "./command.ts";

/** Where a campaign takes place: a store with the embedded engine, a directory of token files, an environment. */
export class Ground {
  readonly program: string;
  readonly directory: string;
  readonly tokens: string;
  readonly store: string;
  readonly env: Readonly<Record<string, string>>;
  #sql: Sql | null = null;

  constructor(program: string) {
    this.program = program;
    this.directory = mkdtempSync(join(tmpdir(), "midctl-crash-"));
    // Under root the engine runs as a user of its own, who has to get to its store.
    chmodSync(this.directory, 0o711);
    this.tokens = join(this.directory, "tokens");
    this.store = join(this.directory, "store");
    const home = join(this.directory, "home");
    for (const path of [this.tokens, home]) mkdirSync(path, { mode: 0o700 });
    this.env = {
      PATH: process.env.PATH ?? "",
      HOME: home,
      XDG_DATA_HOME: join(home, "data"),
      XDG_CONFIG_HOME: join(home, "config"),
      XDG_STATE_HOME: join(home, "state"),
      XDG_CACHE_HOME: join(home, "cache"),
      MIDCTL_DATA_DIR: this.store,
    };
  }

  /** A connection past midctl, to see what is really there. Close it before the server is killed. */
  get sql(): Sql {
    if (this.#sql !== null) return this.#sql;
    const { socketDir, port, user, database } = addressOf({ dir: this.store, source: "MIDCTL_DATA_DIR" });
    this.#sql = postgres({
      path: join(socketDir, `.s.PGSQL.${port}`),
      user,
      database,
      max: 2,
      onnotice: () => undefined,
      connection: { application_name: OURSELVES, TimeZone: "UTC" },
    });
    return this.#sql;
  }

  async disconnect(): Promise<void> {
    const sql = this.#sql;
    this.#sql = null;
    await sql?.end({ timeout: 5 });
  }

  /** Has midctl bring its server up again, as any next command would. */
  async recover(): Promise<void> {
    await this.disconnect();
    const { code, stderr } = await runCommand(this, { args: ["list", "--json", "--limit", "1"] });
    if (code !== 0) throw new Error(`midctl list exited ${code} after a kill: ${stderr}`);
  }

  /** Waits until nothing that a killed command left on the server is under way any more. */
  async settle(): Promise<void> {
    for (;;) {
      const [row] = await this.sql<{ busy: number }[]>`
        SELECT count(*)::int AS busy FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name <> ${OURSELVES}`;
      if (row?.busy === 0) return;
      await delay(2);
    }
  }

  /** SIGKILL of the server: with all its processes, or of the postmaster alone, whose children have to notice. */
  killServer(whole: boolean): void {
    const postmaster = Number(readFileSync(join(this.store, "data/postmaster.pid"), "latin1").split("\n")[0]);
    if (!Number.isInteger(postmaster) || postmaster <= 1) throw new Error("there is no server to kill");
    if (whole) {
      // Stopped first: nobody is born while the children are counted and killed.
      process.kill(postmaster, "SIGSTOP");
      for (const child of listChildren(postmaster)) killQuietly(child);
    }
    process.kill(postmaster, "SIGKILL");
  }

  async leave(keep: boolean): Promise<void> {
    await this.disconnect();
    await runCommand(this, { args: ["db", "stop"] });
    if (!keep) rmSync(this.directory, { recursive: true, force: true });
  }
}

const OURSELVES = "crash campaign";

function listChildren(parent: number): number[] {
  if (!existsSync("/proc/self/stat")) {
    const listed = execFileSync("/bin/ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
    const rows = listed.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
    return rows.filter(([, ppid]) => ppid === parent).map(([pid]) => pid as number);
  }
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && readParent(pid) === parent);
}

/** proc(5): the fourth field of stat, and the second may hold spaces and brackets. */
function readParent(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return null;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was quicker.
  }
}
