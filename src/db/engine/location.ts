import { lstatSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { MidctlError } from "../../domain/errors.ts";

/**
 * Where the embedded engine's store lies and how to reach its server: all that the fast path of a command needs.
 * Kept free of heavy imports, since every command loads it.
 */

export interface StoreLocation {
  readonly dir: string;
  readonly source: "MIDCTL_DATA_DIR" | "root" | "xdg";
}

export interface EngineAddress {
  readonly socketDir: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** Only the socket's file name depends on it: the engine listens on no TCP port. */
export const ENGINE_PORT = 5432;
/** The bootstrap superuser that every store is made with. */
export const ENGINE_USER = "midctl";
/** `initdb`'s own database: another one would add its 7 MB to every store. */
export const ENGINE_DATABASE = "postgres";

/** Longest socket path inside the store, in bytes (SPEC §7). The kernel's own end is 107 on Linux, 103 on macOS. */
const LONGEST_SOCKET_PATH = 90;

/**
 * Where the store is: `MIDCTL_DATA_DIR`, else `/var/lib/midctl` for root, else `$XDG_DATA_HOME/midctl` or
 * `~/.local/share/midctl` (XDG base directories; a relative `XDG_DATA_HOME` is ignored as that standard asks).
 * @throws MidctlError `usage` without a home, `unavailable` on Windows
 */
export function locateStore(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
  uid: number | undefined = process.geteuid?.(),
): StoreLocation {
  if (platform === "win32") throw windowsRefusal();
  if (env.MIDCTL_DATA_DIR) return { dir: resolve(env.MIDCTL_DATA_DIR), source: "MIDCTL_DATA_DIR" };
  if (uid === 0) return { dir: "/var/lib/midctl", source: "root" };
  const dataHome = env.XDG_DATA_HOME;
  if (dataHome && isAbsolute(dataHome)) return { dir: join(dataHome, "midctl"), source: "xdg" };
  return { dir: join(findHome(env), ".local/share/midctl"), source: "xdg" };
}

/** How to reach the store's server, whether or not it runs. Touches the disk only where the socket lies under `/tmp`. */
export function addressOf(store: StoreLocation): EngineAddress {
  return {
    socketDir: socketDirOf(store.dir),
    port: ENGINE_PORT,
    user: ENGINE_USER,
    database: ENGINE_DATABASE,
  };
}

/** The file of the socket that the store's server listens on while it runs. */
export function socketPath(address: EngineAddress): string {
  return join(address.socketDir, `.s.PGSQL.${address.port}`);
}

/**
 * The directory of the store's socket: in the store, or a private one under `/tmp` where that path is too long.
 * @throws MidctlError `unavailable` if the one under `/tmp` is not a private directory of the store's owner: somebody
 * else may have made it, to answer in the engine's place.
 */
export function socketDirOf(dir: string): string {
  const inside = join(dir, "run");
  if (Buffer.byteLength(join(inside, `.s.PGSQL.${ENGINE_PORT}`)) <= LONGEST_SOCKET_PATH) return inside;
  const outside = `/tmp/midctl-${fingerprint(dir)}`;
  const found = lstatSync(outside, { throwIfNoEntry: false });
  if (found === undefined) return outside;
  const owner = statSync(dir, { throwIfNoEntry: false })?.uid ?? process.geteuid?.();
  if (!found.isDirectory() || found.uid !== owner || (found.mode & 0o077) !== 0) {
    throw new MidctlError(
      "unavailable",
      `${outside} is not a private directory of the owner of ${dir}; nothing was sent to it.`,
      {
        hint: `Remove ${outside}, or set MIDCTL_DATA_DIR to a shorter path: the socket then lies in the store.`,
      },
    );
  }
  return outside;
}

/** Why there is no embedded engine on Windows: Node reaches no unix socket there. */
export function windowsRefusal(): MidctlError {
  return new MidctlError("unavailable", "There is no embedded engine on Windows; nothing was started.", {
    hint: "Run midctl inside WSL, or point MIDCTL_DATABASE_URL at a server: postgres://user@host/database.",
  });
}

function findHome(env: NodeJS.ProcessEnv): string {
  const home = env.HOME || homeFromPasswd();
  // Docker gives a user without passwd entry the home "/": no place to keep anything.
  if (home && isAbsolute(home) && home !== "/" && home !== "/dev/null") return home;
  throw new MidctlError(
    "usage",
    "This user has no home directory, so there is no place for the embedded engine's data.",
    {
      hint: "Set MIDCTL_DATA_DIR to a directory that this user may write, or MIDCTL_DATABASE_URL to a server.",
    },
  );
}

function homeFromPasswd(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}

/** FNV-1a, 64 bit: a short name from a path. Not a secret: what guards the directory is its owner and mode. */
function fingerprint(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
