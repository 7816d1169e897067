import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { scrubEnvironment } from "../support/cli.ts";
import type { Desk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/midctl.cjs", import.meta.url));

/** How a directory can be mounted that only one command sees; null where this machine allows nobody that. */
export function findUnshare(): string | null {
  return (
    ["unshare -m", "unshare -Urm"].find(
      (command) => spawnSync("sh", ["-c", `${command} sh -c 'mount -t tmpfs probe /mnt'`]).status === 0,
    ) ?? null
  );
}

/** Runs the program under a shell, with `$midctl` for it: for streams and disks that only a shell can arrange. */
export function runShell(
  desk: Desk,
  script: string,
): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", script], {
    cwd: desk.directory,
    env: scrubEnvironment({ ...desk.env, midctl: `${process.execPath} ${PROGRAM}` }),
    encoding: "utf8",
  });
  return { code: status, stdout, stderr };
}
