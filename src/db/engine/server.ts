import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Account, actAs, currentAccount, spawnIdentity } from "./account.ts";
import { findStrayDescriptors } from "./descriptors.ts";
import { type Binaries, scrubbedEnvironment } from "./native.ts";
import { readPostmasterFile } from "./postmaster.ts";

export interface LaunchOptions {
  readonly binaries: Binaries;
  readonly dataDir: string;
  readonly socketDir: string;
  /** Names the socket's file, and the TCP port where `settings` say `listen_addresses`. */
  readonly port: number;
  /** Server settings, given on its command line: they win over the files in the data directory. */
  readonly settings: Readonly<Record<string, string>>;
  readonly account?: Account;
  /** Where the server's messages go, appended; made with mode 0600. */
  readonly logFile?: string;
  /** An open file that `flock` locks before the server starts and that the server keeps. */
  readonly lockFile?: number;
  /** How long recovery may take, in ms, before this gives up waiting (the server goes on). */
  readonly readyWithin?: number;
}

export interface LaunchedServer {
  readonly pid: number;
  readonly child: ChildProcess;
}

/** Why a server did not come up. `locked`: somebody else holds the store. */
export class LaunchFailure extends Error {
  override readonly name = "LaunchFailure";
  readonly reason: "locked" | "no_flock" | "lock_refused" | "exited" | "slow";
  /** What the server wrote since it was started. */
  readonly log: string;

  constructor(reason: LaunchFailure["reason"], log: string) {
    super(`PostgreSQL did not start (${reason})`);
    this.reason = reason;
    this.log = log;
  }
}

/**
 * `flock` locks the open file that node handed over as descriptor 3; the server inherits it, and every process of
 * the server has to be gone before anybody else gets the lock. One shell, since each process node starts costs 5 ms.
 */
const LOCK_THEN_EXEC =
  'command -v flock >/dev/null || exit 77; flock -n 3; case $? in 0) ;; 1) exit 75;; *) exit 76;; esac; exec "$0" "$@"';
const LOCK_EXITS: Readonly<Record<number, LaunchFailure["reason"]>> = {
  75: "locked",
  76: "lock_refused",
  77: "no_flock",
};

/**
 * Starts a server and returns once it takes connections. It is a session of its own in directory `/`, with none of
 * the caller's environment and descriptors, and outlives the caller.
 * @throws LaunchFailure
 */
export async function launchServer(options: LaunchOptions): Promise<LaunchedServer> {
  const account = options.account ?? currentAccount();
  const logFile = options.logFile ?? join(dirname(options.dataDir), "server.log");
  const log = actAs(account, () =>
    openSync(
      logFile,
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    ),
  );
  try {
    const logStart = fstatSync(log).size;
    const child = spawnServer(options, account, log);
    return await waitUntilReady(child, options, () => readFrom(log, logStart));
  } finally {
    closeSync(log);
  }
}

/** Asks a server to stop (`SIGINT`: sessions are ended, the data checkpointed) and waits until its process has gone. */
export async function stopServer(
  server: LaunchedServer,
  signal: "SIGINT" | "SIGTERM" | "SIGKILL" = "SIGINT",
): Promise<void> {
  if (server.child.exitCode !== null || server.child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => server.child.once("exit", () => resolve()));
  server.child.ref();
  server.child.kill(signal);
  await gone;
}

function spawnServer(options: LaunchOptions, account: Account, log: number): ChildProcess {
  const program = [options.binaries.postgres, "-D", options.dataDir];
  const settings: Record<string, string> = {
    ...options.settings,
    unix_socket_directories: options.socketDir,
    port: String(options.port),
  };
  for (const [name, value] of Object.entries(settings)) program.push("-c", `${name}=${value}`);
  const [command = "", ...args] =
    options.lockFile === undefined || process.platform === "darwin"
      ? program
      : ["/bin/sh", "-c", LOCK_THEN_EXEC, ...program];
  const blank = openSync("/dev/null", "r+");
  try {
    return spawn(command, args, {
      cwd: "/",
      detached: true,
      env: scrubbedEnvironment(options.binaries),
      stdio: arrangeDescriptors(log, options.lockFile, blank),
      ...spawnIdentity(account),
    });
  } finally {
    closeSync(blank);
  }
}

/** 0 nothing, 1 and 2 the log, 3 the lock; `/dev/null` over whatever else the child would inherit. */
function arrangeDescriptors(log: number, lock: number | undefined, blank: number): ("ignore" | number)[] {
  const arranged: ("ignore" | number)[] = ["ignore", log, log];
  if (lock !== undefined) arranged.push(lock);
  for (const stray of findStrayDescriptors()) {
    while (arranged.length < stray) arranged.push("ignore");
    if (arranged.length === stray) arranged.push(blank);
  }
  return arranged;
}

async function waitUntilReady(
  child: ChildProcess,
  options: LaunchOptions,
  readLog: () => string,
): Promise<LaunchedServer> {
  let ended: LaunchFailure["reason"] | null = null;
  child.once("error", () => {
    ended = "exited"; // the program is not there or may not be run
  });
  child.once("exit", (code) => {
    ended = (options.lockFile !== undefined && LOCK_EXITS[code ?? -1]) || "exited";
  });
  const deadline = performance.now() + (options.readyWithin ?? 60_000);
  for (;;) {
    if (ended !== null) throw new LaunchFailure(ended, readLog());
    const file = readPostmasterFile(options.dataDir);
    if (file !== null && file.pid === child.pid && file.status === "ready") {
      child.unref();
      return { pid: file.pid, child };
    }
    if (performance.now() > deadline) {
      child.unref();
      throw new LaunchFailure("slow", readLog());
    }
    await delay(1);
  }
}

/** What was written to the log since `start`, its last 16 KB. */
function readFrom(log: number, start: number): string {
  const size = fstatSync(log).size;
  const from = Math.max(start, size - 16_384);
  const buffer = Buffer.alloc(Math.max(0, size - from));
  readSync(log, buffer, 0, buffer.length, from);
  return buffer.toString("utf8");
}
