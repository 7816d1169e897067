import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** What a server says of itself in `postmaster.pid` (miscadmin.h and pidfile.h of PostgreSQL, lines 1…8). */
export interface PostmasterFile {
  readonly pid: number;
  /** When its process began, in seconds since 1970. */
  readonly startedAt: number;
  readonly status: "starting" | "stopping" | "ready" | "standby" | "";
}

/** `ours`: that process is the data directory's server. `stranger`: another process of this number. */
export type Judgement = "ours" | "gone" | "stranger";

/** The server's own note in the data directory, or null where there is none (or only half of one yet). */
export function readPostmasterFile(dataDir: string): PostmasterFile | null {
  let lines: string[];
  try {
    lines = readFileSync(join(dataDir, "postmaster.pid"), "latin1").split("\n");
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  return {
    pid,
    startedAt: Number(lines[2] ?? 0),
    status: (lines[7] ?? "").trim() as PostmasterFile["status"],
  };
}

/**
 * Whether the process that `postmaster.pid` names is the server of that directory, in this PID namespace. Its number
 * says nothing: after a crash, or in another container, it may be anybody's. On Linux a server is known by its working
 * directory, which is its data directory for as long as it lives; elsewhere by its name and its start time.
 */
export function judgePostmaster(file: PostmasterFile, dataDir: string): Judgement {
  return existsSync("/proc/self/stat") ? judgeByProc(file, dataDir) : judgeByPs(file, listProcess(file.pid));
}

/** What `ps -o lstart=,comm=` says of a process against the note it is said to have left. Two seconds are rounding. */
export function judgeByPs(file: PostmasterFile, listed: string | null): Judgement {
  if (listed === null || listed.trim() === "") return "gone";
  const [, when, program] = /^\s*(.*\d{4})\s+(.*)$/.exec(listed.trimEnd()) ?? [];
  const began = Date.parse(when ?? "") / 1000;
  return /postgres$/.test(program ?? "") && Math.abs(began - file.startedAt) <= 2 ? "ours" : "stranger";
}

function judgeByProc(file: PostmasterFile, dataDir: string): Judgement {
  if (!existsSync(`/proc/${file.pid}`)) return "gone";
  try {
    const there = statSync(`/proc/${file.pid}/cwd`);
    const here = statSync(dataDir);
    return there.dev === here.dev && there.ino === here.ino ? "ours" : "stranger";
  } catch (error) {
    // A zombie has no directory any more; another user's process does not show it.
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "gone" : "stranger";
  }
}

function listProcess(pid: number): string | null {
  try {
    return execFileSync("/bin/ps", ["-p", String(pid), "-o", "lstart=,comm="], {
      encoding: "utf8",
      env: { LC_ALL: "C" },
    });
  } catch {
    return null;
  }
}
