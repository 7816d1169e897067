import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { scrubEnvironment } from "../support/cli.ts";

export const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

/** A command that runs until it is told to end. */
export interface Running {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves with what the pattern found on stdout, once it is there. */
  said(pattern: RegExp): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the program as a process of its own; it is killed at the end of the test, if it still runs then. */
export function startProgram(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: scrubEnvironment(env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(stdout);
          if (found !== null) resolve(found[1] ?? found[0]);
        };
        child.stdout.on("data", look);
        child.on("close", (code) => reject(new Error(`ended with ${code}: ${stderr}`)));
        look();
      }),
    kill: (signal) => void child.kill(signal),
    ended,
  };
}

/** `midctl serve` at a free port; resolves once it listens. */
export async function startServe(
  env: Readonly<Record<string, string>>,
  ...words: string[]
): Promise<Running & { url: string }> {
  const running = startProgram(["serve", "--listen", "127.0.0.1:0", ...words], env);
  return { ...running, url: await running.said(/^listening\t(http:.*)$/m) };
}

/** A request with this bearer; the connection is not kept. */
export function ask(url: string, token: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, {
    ...init,
    headers: { authorization: `Bearer ${token}`, connection: "close", ...init.headers },
  });
}
