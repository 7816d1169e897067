import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Account, actAs } from "./account.ts";
import type { BinaryCandidate } from "./binaries.ts";

/** PostgreSQL's programs, ready to be run by the engine's user. */
export interface Binaries {
  readonly origin: "package" | "system";
  readonly major: number;
  readonly version: string;
  readonly postgres: string;
  readonly initdb: string;
  /** Where the loader finds the libraries; empty for the system's. */
  readonly libraryPath: readonly string[];
}

interface Link {
  readonly name: string;
  readonly source: string;
}

/**
 * Makes the candidate runnable by the account. The package leaves its library links to an install script, which may
 * not have run (`--ignore-scripts`): they are made in `cacheDir`, which is the account's own. Programs that the account
 * cannot read (a package under a private home) are copied there.
 */
export function readyBinaries(candidate: BinaryCandidate, cacheDir: string, account: Account): Binaries {
  const { origin, major, version, nativeDir } = candidate;
  if (nativeDir === null) {
    return {
      origin,
      major,
      version,
      postgres: candidate.postgres,
      initdb: candidate.initdb,
      libraryPath: [],
    };
  }
  const links = readLinks(nativeDir);
  if (!canRead(nativeDir, account)) return readyCopy(candidate, nativeDir, links, cacheDir, account);
  const libraryPath = [join(nativeDir, "lib")];
  if (!links.every((link) => existsSync(join(nativeDir, "lib", link.name)))) {
    const linkDir = join(cacheDir, "lib");
    actAs(account, () => makeLinks(linkDir, join(nativeDir, "lib"), links));
    libraryPath.unshift(linkDir);
  }
  return { origin, major, version, postgres: candidate.postgres, initdb: candidate.initdb, libraryPath };
}

/** The environment that PostgreSQL's programs run in: nothing of the caller's. */
export function scrubbedEnvironment(binaries: Binaries): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    LC_ALL: "C",
    TZ: "UTC",
  };
  if (binaries.libraryPath.length > 0) {
    const variable = process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
    env[variable] = binaries.libraryPath.join(":");
  }
  return env;
}

/** The package's own list of links (`[{ source, target }]`, both below the package), by name in `lib`. */
function readLinks(nativeDir: string): Link[] {
  const file = join(nativeDir, "pg-symlinks.json");
  if (!existsSync(file)) return [];
  const listed: { source: string; target: string }[] = JSON.parse(readFileSync(file, "utf8"));
  return listed
    .filter((link) => basename(dirname(link.target)) === "lib")
    .map((link) => ({ name: basename(link.target), source: basename(link.source) }));
}

/** By rename, so that two commands may do it at once. */
function makeLinks(linkDir: string, libDir: string, links: readonly Link[]): void {
  mkdirSync(linkDir, { recursive: true });
  chmodSync(linkDir, 0o755); // whatever the umask; initdb may run as another user
  for (const link of links) {
    const path = join(linkDir, link.name);
    const target = join(libDir, link.source);
    if (readLinkOrNull(path) === target) continue;
    const fresh = unusedName(path);
    rmSync(fresh, { force: true });
    symlinkSync(target, fresh);
    renameSync(fresh, path);
  }
}

function readLinkOrNull(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Asked of the kernel with the account's rights, so that groups and access lists count. */
function canRead(nativeDir: string, account: Account): boolean {
  if (!account.switched) return true;
  return actAs(account, () => {
    try {
      for (const path of ["bin/postgres", "bin/initdb", "share/postgresql/postgres.bki"]) {
        closeSync(openSync(join(nativeDir, path), "r"));
      }
      readdirSync(join(nativeDir, "lib"));
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Copies the package's programs into a cache of the account's own. Root reads, the account writes: a file at a time,
 * so that root never follows what the account may have put there.
 */
function readyCopy(
  candidate: BinaryCandidate,
  nativeDir: string,
  links: readonly Link[],
  cacheDir: string,
  account: Account,
): Binaries {
  const copy = join(cacheDir, `native-${candidate.version}`);
  if (!actAs(account, () => existsSync(copy))) {
    const fresh = unusedName(copy);
    actAs(account, () => removeOtherCopies(cacheDir, candidate.version));
    copyTree(nativeDir, fresh, account);
    actAs(account, () => {
      makeLinks(join(fresh, "lib"), ".", links);
      putInPlace(fresh, copy);
    });
  }
  const { origin, major, version } = candidate;
  const bin = join(copy, "bin");
  return {
    origin,
    major,
    version,
    postgres: join(bin, "postgres"),
    initdb: join(bin, "initdb"),
    libraryPath: [join(copy, "lib")],
  };
}

/**
 * A name beside `path` that nothing else has. Not by process number: in a container that is a small one, which another
 * container on the volume has too, and which `libicuuc.so.60` would take for the library's own `.2`.
 */
function unusedName(path: string): string {
  return `${path}.new-${randomBytes(8).toString("hex")}`;
}

/** Another command may have been quicker: then its copy stays. */
function putInPlace(fresh: string, copy: string): void {
  try {
    renameSync(fresh, copy);
  } catch (error) {
    if (!existsSync(copy)) throw error;
    rmSync(fresh, { recursive: true });
  }
}

function removeOtherCopies(cacheDir: string, version: string): void {
  for (const name of readdirSync(cacheDir)) {
    const isOther = name.startsWith("native-") && !name.startsWith(`native-${version}`);
    if (isOther) rmSync(join(cacheDir, name), { recursive: true, force: true });
  }
}

/** Everything but what only a compiler needs. */
function copyTree(from: string, to: string, account: Account): void {
  actAs(account, () => {
    mkdirSync(to);
    chmodSync(to, 0o755);
  });
  for (const name of readdirSync(from)) {
    const source = join(from, name);
    const target = join(to, name);
    const kind = statSync(source);
    if (kind.isDirectory()) {
      if (name !== "pkgconfig") copyTree(source, target, account);
    } else if (!name.endsWith(".a")) {
      const content = readFileSync(source);
      actAs(account, () => writeNew(target, content, kind.mode & 0o111 ? 0o755 : 0o644));
    }
  }
}

function writeNew(path: string, content: Buffer, mode: number): void {
  writeFileSync(path, content, { flag: "wx", mode });
  chmodSync(path, mode); // whatever the caller's umask took away
}
