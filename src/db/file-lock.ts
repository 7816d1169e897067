/** A lock that belongs to an open file: it ends with whoever has the file open, so that no crash leaves it behind. */
import { spawn } from "node:child_process";

/** BSD's open flags, which node passes on without naming them: open and lock in one, without waiting. */
const O_EXLOCK = 0x20;
const O_NONBLOCK = 0x4;

/** To be opened with where opening is taking the lock (macOS): `EAGAIN` says that another holds it. 0 elsewhere. */
export function lockingFlags(platform: NodeJS.Platform): number {
  return platform === "darwin" ? O_EXLOCK | O_NONBLOCK : 0;
}

/** `unable`: why nobody can lock it here. */
export type Locking = "taken" | "held" | { readonly unable: string };

/** `flock -n 3` locks the open file that it was handed, then ends; the lock stays with the file. Taking it twice is no harm. */
export function lockByProgram(descriptor: number): Promise<Locking> {
  return new Promise((resolve) => {
    const child = spawn("flock", ["-n", "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor],
      cwd: "/",
    });
    child.once("error", () => resolve({ unable: "there is no flock(1) here" }));
    child.once("exit", (code) => {
      if (code === 0 || code === 1) resolve(code === 0 ? "taken" : "held");
      else resolve({ unable: `flock ended with ${code}` });
    });
  });
}
