import { readFileSync } from "node:fs";
import { MidctlError } from "../../domain/errors.ts";

/** The user that the server runs as, by number: neither a name nor a home is needed for it. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Whether midctl itself is another user (root) and has to change to this one. */
  readonly switched: boolean;
}

/**
 * First choice for the server's user under root. systemd's UIDS-GIDS table lists 60578…61183 as unused by
 * distributions, homed and DynamicUser; below 65536, so that it is mapped in ordinary user namespaces.
 */
const OWN_UID = 60_743;

/** The user midctl runs as, who owns the store and runs the server unless that is root. */
export function currentAccount(): Account {
  return { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, switched: false };
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** The server's user for a new store under root: a number that no line of the passwd or group file names. */
export function chooseOwnAccount(
  passwd = readIfThere("/etc/passwd"),
  group = readIfThere("/etc/group"),
): Account {
  const taken = new Set(
    [...passwd.split("\n"), ...group.split("\n")].map((line) => Number(line.split(":")[2])),
  );
  let uid = OWN_UID;
  while (taken.has(uid)) uid += 1;
  return { uid, gid: uid, switched: true };
}

/**
 * A user of the passwd file for `initdb`, which refuses to run as one without an entry: PostgreSQL's own where its
 * package made one, else a system user that runs nothing. What it makes is handed to the store's owner afterwards.
 */
export function chooseNamedAccount(passwd = readIfThere("/etc/passwd")): Account | null {
  const entries = new Map(passwd.split("\n").map((line) => [line.split(":")[0], line.split(":")] as const));
  for (const name of ["postgres", "games", "bin", "sys", "daemon"]) {
    const entry = entries.get(name);
    const uid = Number(entry?.[2]);
    if (entry && uid > 0) return { uid, gid: Number(entry[3]), switched: true };
  }
  return null;
}

/** Whether the passwd file knows this user (other name services are asked by `initdb` itself). */
export function hasPasswdEntry(uid: number, passwd = readIfThere("/etc/passwd")): boolean {
  return passwd.split("\n").some((line) => line.split(":")[2] === String(uid));
}

/** The options of `child_process.spawn` that make the child run as the account. */
export function spawnIdentity(account: Account): { uid?: number; gid?: number } {
  return account.switched ? { uid: account.uid, gid: account.gid } : {};
}

/**
 * Runs `work` with the account's rights, so that root follows no link and writes no file that the store's owner could
 * not. Synchronous only: the effective user is the whole process's.
 * @throws MidctlError `unavailable` where root may not change user (dropped capabilities, rootless containers)
 */
export function actAs<T>(account: Account, work: () => T): T {
  if (!account.switched) return work();
  const groups = process.getgroups?.() ?? [];
  const gid = process.getegid?.() ?? 0;
  const uid = process.geteuid?.() ?? 0;
  try {
    process.setgroups?.([account.gid]);
    process.setegid?.(account.gid);
    process.seteuid?.(account.uid);
  } catch (cause) {
    restore(uid, gid, groups);
    throw rootRefusal(cause);
  }
  try {
    return work();
  } finally {
    restore(uid, gid, groups);
  }
}

/** PostgreSQL never runs as root, and here root may not become anyone else. */
export function rootRefusal(cause: unknown): MidctlError {
  return new MidctlError(
    "unavailable",
    "PostgreSQL does not run as root, and this root may not change to another user or owner; nothing was started.",
    {
      hint: "Run as an ordinary user (docker run --user 1000), or set MIDCTL_DATABASE_URL to postgres://user@host/database.",
      cause,
    },
  );
}

function restore(uid: number, gid: number, groups: number[]): void {
  process.seteuid?.(uid);
  process.setegid?.(gid);
  try {
    process.setgroups?.(groups);
  } catch {
    // Without CAP_SETGID they were never changed.
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
