import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { actAs } from "./account.ts";
import { refuseUnlockable } from "./refusals.ts";
import type { Store } from "./store.ts";

/** BSD's open flags, which node passes on without naming them: open and lock in one, without waiting. */
const O_EXLOCK = 0x20;
const O_NONBLOCK = 0x4;

/**
 * The lock on a store. It belongs to the open file, so whoever inherits the descriptor holds it too, and it ends when
 * the last of them has: it tells about servers in other PID namespaces, which no process number does.
 */
export interface StoreLock {
  readonly descriptor: number;
  /** Takes it without waiting; false if another holds it. Taking it twice is no harm. */
  take(): Promise<boolean>;
  /** Lets go, unless a server has inherited it. */
  close(): void;
}

/** Opens the store's lock file with the account's rights. Null if it is held, where opening is taking (macOS). */
export function openLock(store: Store, platform: NodeJS.Platform): StoreLock | null {
  const locking = platform === "darwin" ? O_EXLOCK | O_NONBLOCK : 0;
  let descriptor: number;
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | locking;
    descriptor = actAs(store.account, () => openSync(store.lockPath, flags, 0o600));
  } catch (error) {
    if (platform === "darwin" && (error as NodeJS.ErrnoException).code === "EAGAIN") return null;
    throw error;
  }
  return {
    descriptor,
    take: () => (platform === "darwin" ? Promise.resolve(true) : takeByProgram(descriptor, store.dir)),
    close: () => closeSync(descriptor),
  };
}

/** `flock -n 3` locks the open file that it was handed, then ends; the lock stays with the file. */
function takeByProgram(descriptor: number, dir: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["-n", "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor],
      cwd: "/",
    });
    child.once("error", () => reject(refuseUnlockable(dir, "there is no flock(1) here")));
    child.once("exit", (code) => {
      if (code === 0 || code === 1) resolve(code === 0);
      else reject(refuseUnlockable(dir, `flock ended with ${code}`));
    });
  });
}
