import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** Added to (or, as undefined, taken from) a scrubbed environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which is then closed; nothing unless told. */
  readonly stdin?: string;
  readonly cwd?: string;
  /** Milliseconds until SIGKILL; 120,000 unless told. */
  readonly timeout?: number;
}

export const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

/** Runs the program as a process of its own, off a terminal, with nothing of the caller's environment but PATH. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      cwd: options.cwd,
      env: scrubEnvironment(options.env),
      timeout: options.timeout ?? 120_000,
      killSignal: "SIGKILL",
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A program that does not read its input may be gone before it is written.
    child.stdin.on("error", () => undefined).end(options.stdin ?? "");
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString("utf8"),
        stderr: Buffer.concat(stderr).toString("utf8"),
      }),
    );
  });
}

/** A home of its own for each call unless `XDG_*`, `HOME` or `MIDCTL_DATA_DIR` say otherwise. */
export function scrubEnvironment(extra: CliOptions["env"] = {}): Record<string, string> {
  const home = mkdtempSync(join(inject("scratch"), "home-"));
  const environment: Record<string, string | undefined> = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    XDG_DATA_HOME: join(home, "data"),
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_STATE_HOME: join(home, "state"),
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_RUNTIME_DIR: join(home, "run"),
    ...extra,
  };
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
