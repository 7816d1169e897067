import { closeSync, constants, openSync } from "node:fs";
import { lockByProgram, lockingFlags } from "../file-lock.ts";
import { actAs } from "./account.ts";
import { refuseUnlockable } from "./refusals.ts";
import type { Store } from "./store.ts";

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
  let descriptor: number;
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | lockingFlags(platform);
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

async function takeByProgram(descriptor: number, dir: string): Promise<boolean> {
  const locking = await lockByProgram(descriptor);
  if (typeof locking === "object") throw refuseUnlockable(dir, locking.unable);
  return locking === "taken";
}
