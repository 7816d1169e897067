/** Runs a program that an operator named: no shell, and no secret where other processes can read it. */
import { spawn } from "node:child_process";

export interface Ran {
  /** Null where all went well; else what happened, for the end of a sentence: "ended with exit code 3". */
  readonly problem: string | null;
}

/** How long a program that was told to end is waited for, ms. */
const LAST_WORDS = 2_000;

/**
 * Runs it until it ends or its time is up. Its output goes to our stderr, its environment is ours without midctl's own settings,
 * which may hold a password.
 * @param input what it finds on standard input, and nothing after that; null for nothing
 * @param patience ms
 */
export function runCommand(
  [program, ...args]: readonly [string, ...string[]],
  { input, patience }: { readonly input: string | null; readonly patience: number },
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: [input === null ? "ignore" : "pipe", 2, 2],
      env: withoutSettings(process.env),
      // A group of its own: what it started ends with it.
      detached: true,
    });
    let late = false;
    let unread = false;
    let killing: NodeJS.Timeout | undefined;
    const signal = (name: NodeJS.Signals): void => {
      // Of what never started there is no group; 0 would be our own.
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, name);
      } catch {
        // It has ended.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      signal("SIGTERM");
      killing = setTimeout(() => signal("SIGKILL"), LAST_WORDS);
    }, patience);
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      clearTimeout(killing);
      resolve({ problem });
    };
    child.on("error", (error: NodeJS.ErrnoException) => end(`could not be started (${error.code})`));
    child.on("exit", (code, by) => {
      if (late) {
        signal("SIGKILL");
        end(`took longer than ${patience / 1000} s`);
      } else if (code !== 0) end(by === null ? `ended with exit code ${code}` : `was ended by ${by}`);
      else end(unread ? "ended without reading what it was given" : null);
    });
    if (child.stdin !== null) {
      child.stdin.on("error", () => {
        unread = true;
      });
      child.stdin.end(input);
    }
  });
}

/** An environment without midctl's own settings and the database's password. */
export function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith("MIDCTL_") && name !== "PGPASSWORD"),
  );
}
