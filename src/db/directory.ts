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
