import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { scrubEnvironment } from "../support/cli.ts";
import type { Desk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

/** A command on a terminal of its own, made by script(1) of util-linux. */
export interface Session {
  /** Resolves with the screen so far once the text is on it; fails where the command ends without. */
  shows(text: string): Promise<string>;
  type(text: string): void;
  /** Everything that was shown, once the command has ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly screen: string }>;
}

/** What keys send. */
export const ENTER = "\r";
export const CTRL_C = "\u0003";
export const CTRL_D = "\u0004";

/** Runs a shell command in which `$midctl` is the program; its stdin, stdout and stderr are an 80-column terminal. */
export function openSession(
  desk: Desk,
  command: string,
  env: Readonly<Record<string, string>> = {},
): Session {
  const child = spawn("script", ["-qefc", `stty cols 80 rows 40; ${command}`, "/dev/null"], {
    cwd: desk.directory,
    env: scrubEnvironment({
      ...desk.env,
      TERM: "xterm",
      SHELL: "/bin/sh",
      midctl: `${process.execPath} ${PROGRAM}`,
      ...env,
    }),
    stdio: ["pipe", "pipe", "inherit"],
    timeout: 30_000,
    killSignal: "SIGKILL",
  });
  let screen = "";
  let over = false;
  const watchers = new Set<() => void>();
  child.stdin.on("error", () => undefined);
  child.stdout.on("data", (chunk: Buffer) => {
    screen += chunk.toString("utf8");
    for (const look of watchers) look();
  });
  const ended = new Promise<{ code: number | null; screen: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      over = true;
      for (const look of watchers) look();
      resolve({ code, screen });
    });
  });
  return {
    ended,
    type: (text) => child.stdin.write(text),
    shows: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (screen.includes(text)) resolve(screen);
          else if (over) reject(new Error(`never shown: ${text}\n${screen}`));
          else return;
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      }),
  };
}
