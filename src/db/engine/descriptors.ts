import { readdirSync, readFileSync } from "node:fs";

const CLOSE_ON_EXEC = 0o2000000;

/**
 * Open descriptors above 2 that a child would inherit from our caller: `exec 200>lock; flock 200; midctl …` would
 * leave the lock with the server for ever. Node marks only the first 16 as close-on-exec. Elsewhere than on Linux none:
 * there (POSIX_SPAWN_CLOEXEC_DEFAULT) libuv closes them itself.
 */
export function findStrayDescriptors(): number[] {
  let open: string[];
  try {
    open = readdirSync("/proc/self/fdinfo");
  } catch {
    return [];
  }
  return open.map(Number).filter((descriptor) => descriptor > 2 && isInherited(descriptor));
}

function isInherited(descriptor: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    return false; // the directory's own descriptor, closed by now
  }
}
