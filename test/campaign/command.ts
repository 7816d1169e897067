import { spawn } from "node:child_process";
import { watch } from "node:fs";
import type { Readable } from "node:stream";
import type { Ground } from "./ground.ts";

export interface Invocation {
  readonly args: readonly string[];
  /** Written to standard input. */
  readonly stdin?: string;
}

/** When a command is killed. Times are in ms. */
export type Moment =
  /** So long after its start. */
  | { readonly kind: "time"; readonly after: number }
  /** So long after the first change in the directory of token files. */
  | { readonly kind: "file"; readonly after: number }
  /** So long after the first that comes on its stdout. */
  | { readonly kind: "output"; readonly after: number }
  /** So long after somebody else can see what it committed. */
  | { readonly kind: "commit"; readonly after: number };

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether SIGKILL found it alive. */
  readonly killed: boolean;
  readonly ms: number;
}

/** Runs midctl as a process group of its own and, at the moment given, kills that group and nothing else. */
export function runCommand(ground: Ground, invocation: Invocation, moment?: Moment): Promise<Result> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const child = spawn(process.execPath, [ground.program, ...invocation.args], {
      env: ground.env,
      detached: true,
    });
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    const disarm = moment === undefined ? () => undefined : arm(ground, moment, child.stdout, kill);
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined).end(invocation.stdin ?? "");
    child.on("error", reject);
    child.on("exit", disarm);
    child.on("close", (code, signal) => {
      resolve({
        code,
        stdout: Buffer.concat(stdout).toString("utf8"),
        stderr: Buffer.concat(stderr).toString("utf8"),
        killed: signal === "SIGKILL",
        ms: performance.now() - began,
      });
    });
  });
}

/** Sets the kill up and returns what calls it off. */
function arm(ground: Ground, moment: Moment, stdout: Readable, kill: () => void): () => void {
  let timer: NodeJS.Timeout | null = null;
  let over = false;
  const fire = (): void => {
    if (over || timer !== null) return;
    if (moment.after < 1) kill();
    else timer = setTimeout(kill, moment.after);
  };
  let unwatch = (): void => undefined;
  if (moment.kind === "time") fire();
  else if (moment.kind === "output") stdout.once("data", fire);
  else if (moment.kind === "file") {
    const watcher = watch(ground.tokens, fire);
    unwatch = () => watcher.close();
  } else void watchCommits(ground, () => over, fire).catch(() => undefined); // no kill, then: the round is played again
  return () => {
    over = true;
    if (timer !== null) clearTimeout(timer);
    unwatch();
  };
}

async function watchCommits(ground: Ground, isOver: () => boolean, fire: () => void): Promise<void> {
  const read = async (): Promise<string> => {
    const [row] = await ground.sql<{ size: string }[]>`SELECT size::text FROM midctl_log_head`;
    return row?.size ?? "";
  };
  const before = await read();
  while (!isOver()) {
    if ((await read()) !== before) return fire();
  }
}
