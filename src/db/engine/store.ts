import { chmodSync, lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "../directory.ts";
import { type Account, actAs, chooseOwnAccount, currentAccount, isRoot, rootRefusal } from "./account.ts";
import type { Host } from "./host.ts";
import { type StoreLocation, socketDirOf } from "./location.ts";
import {
  refuseFileSystem,
  refuseForeignOwner,
  refuseModeless,
  refuseOccupied,
  refuseUnreachable,
} from "./refusals.ts";

/** The store of an embedded engine: one directory, 0700, of the server's user. */
export interface Store {
  readonly dir: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly lockPath: string;
  readonly logFile: string;
  readonly account: Account;
}

/** What a store may hold. Anything else in a directory without `data` means that it is not ours to take. */
const OWN_NAMES = /^(data|data\.new|run|lib|native-.*|engine\.lock|server\.log(\.1)?|lost\+found)$/;

/**
 * Makes or takes the store's directory. Under root it belongs to the engine's own user, or stays with the user whose
 * store it is; root then touches what is in it with that user's rights alone.
 * @throws MidctlError `unavailable` for a directory that is foreign, occupied, full, read-only, modeless or out of reach
 */
export function openStore(location: StoreLocation, host: Pick<Host, "keepsModes">): Store {
  const { dir } = location;
  keepOwnersBits();
  try {
    const account = takeDirectory(dir);
    checkReachable(dir, account);
    const socketDir = actAs(account, () => {
      if (!host.keepsModes(dir)) throw refuseModeless(dir);
      refuseIfOccupied(dir);
      const chosen = socketDirOf(dir);
      makeOwn(chosen);
      return socketDirOf(dir); // judged again, now that it exists
    });
    return layOut(dir, socketDir, account);
  } catch (error) {
    throw refuseFileSystem(dir, error);
  }
}

/** The store as it lies there, untouched; null where there is none. */
export function surveyStore(location: StoreLocation): Store | null {
  const { dir } = location;
  const found = statSync(dir, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return null;
  const self = currentAccount();
  const account = found.uid === self.uid ? self : { uid: found.uid, gid: found.gid, switched: isRoot() };
  return layOut(dir, socketDirOf(dir), account);
}

/** The major version that made the store's data, or null where there are none yet. */
export function readMajor(store: Store): number | null {
  try {
    return Number.parseInt(readFileSync(join(store.dataDir, "PG_VERSION"), "latin1"), 10);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw refuseFileSystem(store.dir, error);
  }
}

/** A note for the first use in a container whose store ends with it, or null. */
export function warnOfContainer(dir: string, markers = ["/.dockerenv", "/run/.containerenv"]): string | null {
  const inContainer = markers.some((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (!inContainer || statSync(dir).dev !== statSync("/").dev) return null;
  return `This looks like a container, and ${dir} is on no volume: what it holds ends with the container. Mount a volume there.`;
}

function layOut(dir: string, socketDir: string, account: Account): Store {
  return {
    dir,
    dataDir: join(dir, "data"),
    socketDir,
    lockPath: join(dir, "engine.lock"),
    logFile: join(dir, "server.log"),
    account,
  };
}

function takeDirectory(dir: string): Account {
  const found = statSync(dir, { throwIfNoEntry: false });
  if (found === undefined) {
    makeOwn(dir);
  }
  const { uid, gid } = found ?? statSync(dir);
  const self = currentAccount();
  if (!isRoot()) {
    if (uid !== self.uid) throw refuseForeignOwner(dir, uid, self.uid);
    return self;
  }
  if (uid !== 0) return { uid, gid, switched: true };
  const others = readdirSync(dir).filter((name) => name !== "lost+found");
  if (others[0] !== undefined) throw refuseOccupied(dir, others[0]);
  const account = chooseOwnAccount();
  try {
    lchownSync(dir, account.uid, account.gid);
  } catch (cause) {
    throw rootRefusal(cause);
  }
  return account;
}

/** A umask that takes the owner's own rights away would lock the server out of what it makes. */
function keepOwnersBits(): void {
  const before = process.umask(0o077);
  process.umask(before & 0o077);
}

/** Parents that root makes let the engine's own user through, whatever the umask. */
function makeOwn(dir: string): void {
  makeDirectory(dir, (each, isParent) => {
    mkdirSync(each, isParent ? undefined : 0o700);
    if (isParent && isRoot()) chmodSync(each, (statSync(each).mode & 0o777) | 0o011);
  });
}

function checkReachable(dir: string, account: Account): void {
  if (!account.switched) return;
  actAs(account, () => {
    try {
      statSync(join(dir, "."));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") throw refuseUnreachable(dir, account.uid);
      throw error;
    }
  });
}

function refuseIfOccupied(dir: string): void {
  const names = readdirSync(dir);
  const stranger = names.find((name) => !OWN_NAMES.test(name));
  if (stranger !== undefined && !names.includes("engine.lock")) throw refuseOccupied(dir, stranger);
}
