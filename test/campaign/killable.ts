import { spawn } from "node:child_process";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly killed: boolean;
  readonly ms: number;
}

/** Runs the program as a process of its own, and kills it (SIGKILL) once `moment` has come, if it has not ended by then. */
export function runKillable(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  moment?: Promise<void>,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, [program, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    void moment?.then(() => child.kill("SIGKILL"));
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({
        ...{ code, killed: signal === "SIGKILL", ms: performance.now() - began },
        stdout: Buffer.concat(stdout).toString("utf8"),
        stderr: Buffer.concat(stderr).toString("utf8"),
      });
    });
  });
}
