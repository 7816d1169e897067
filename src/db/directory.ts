import fs from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a directory with its parents; each may exist, for somebody else may be quicker. node's own `recursive` reports
 * EROFS as ENOENT, and runs for ever where a file system says so of a directory whose parent is there, as /proc does.
 * @param make one directory, whose parent exists
 */
export function makeDirectory(dir: string, make: (dir: string, isParent: boolean) => void): void {
  makeOne(dir, make, false);
}

function makeOne(dir: string, make: (dir: string, isParent: boolean) => void, isParent: boolean): void {
  const attempt = () => {
    try {
      make(dir, isParent);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  };
  try {
    attempt();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || dirname(dir) === dir) throw error;
    makeOne(dirname(dir), make, true);
    attempt();
  }
}

/** Returns when the names in a directory are on disk. @throws what the file system says, but that it has no such thing */
export function syncDirectory(dir: string): void {
  const file = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(file);
  } catch (error) {
    if (!isUnsynced(error)) throw error;
  } finally {
    fs.closeSync(file);
  }
}

/** Some file systems have no such thing for directories, and say so in these words. */
export function isUnsynced(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EINVAL" || code === "ENOTSUP";
}
