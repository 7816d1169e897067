import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Host, packageNameFor } from "./host.ts";

/** PostgreSQL's programs as found on this machine, before anything is known about who can run them. */
export interface BinaryCandidate {
  readonly origin: "package" | "system";
  readonly major: number;
  readonly version: string;
  readonly postgres: string;
  readonly initdb: string;
  /** The package's `native` directory; null for the system's, which needs nothing from us. */
  readonly nativeDir: string | null;
}

/** The oldest major version that midctl works with (SPEC §3). */
export const OLDEST_MAJOR = 15;

/**
 * PostgreSQL's programs, best first: npm's package for this platform, then the system's of 15 or newer (`PATH`,
 * Debian, Red Hat, Alpine, Homebrew, Postgres.app), newest major first. Lazy: the system is searched only where the
 * package does not do, for that may cost a process per version.
 * @param rejected gets a line for each that was found wanting
 */
export function* findBinaries(host: Host, rejected: string[] = []): Generator<BinaryCandidate> {
  const packaged = findPackaged(host, rejected);
  if (packaged !== null) yield packaged;
  const found = new Map<string, BinaryCandidate>();
  for (const dir of systemDirs(host)) {
    const candidate = readSystem(dir, rejected);
    if (candidate !== null) found.set(candidate.postgres, candidate);
  }
  yield* [...found.values()].sort((a, b) => b.major - a.major);
}

/** npm's package for this platform, or null with a line in `rejected`. */
export function findPackaged(host: Host, rejected: string[]): BinaryCandidate | null {
  const name = packageNameFor(host);
  const main = host.resolvePackage(name);
  if (main === null) {
    rejected.push(`${name} is not installed`);
    return null;
  }
  if (host.lacksGlibc()) {
    rejected.push(`${name} is installed but needs glibc, which this system does not have`);
    return null;
  }
  const home = dirname(dirname(main));
  const nativeDir = join(home, "native");
  const version = String(JSON.parse(readFileSync(join(home, "package.json"), "utf8")).version);
  const postgres = join(nativeDir, "bin/postgres");
  return {
    origin: "package",
    major: Number.parseInt(version, 10),
    version,
    postgres,
    initdb: join(nativeDir, "bin/initdb"),
    nativeDir,
  };
}

function systemDirs(host: Host): string[] {
  const root = host.systemRoot;
  const search = (host.env.PATH ?? "").split(":").filter((dir) => dir.startsWith("/"));
  return [
    ...search,
    ...expand(`${root}/usr/lib/postgresql`, /^\d+$/, "bin"),
    ...expand(`${root}/usr`, /^pgsql-\d+$/, "bin"),
    ...expand(`${root}/usr/libexec`, /^postgresql\d*$/, ""),
    ...expand(`${root}/opt/homebrew/opt`, /^postgresql(@\d+)?$/, "bin"),
    ...expand(`${root}/usr/local/opt`, /^postgresql(@\d+)?$/, "bin"),
    ...expand(`${root}/Applications/Postgres.app/Contents/Versions`, /^\d+$/, "bin"),
  ];
}

function expand(parent: string, pattern: RegExp, below: string): string[] {
  try {
    return readdirSync(parent)
      .filter((name) => pattern.test(name))
      .map((name) => join(parent, name, below));
  } catch {
    return [];
  }
}

function readSystem(dir: string, rejected: string[]): BinaryCandidate | null {
  if (!existsSync(join(dir, "postgres"))) return null;
  const postgres = realpathSync(join(dir, "postgres"));
  const initdb = join(dirname(postgres), "initdb");
  const version = readVersion(postgres);
  const major = Number.parseInt(version ?? "", 10);
  if (version === null || !existsSync(initdb)) {
    rejected.push(`${postgres} does not run, or has no initdb beside it`);
    return null;
  }
  if (!(major >= OLDEST_MAJOR)) {
    rejected.push(`${postgres} is ${version}, older than ${OLDEST_MAJOR}`);
    return null;
  }
  return { origin: "system", major, version, postgres, initdb, nativeDir: null };
}

/** What `postgres --version` says (`postgres (PostgreSQL) 15.12 (Debian …)`), or null if it does not run. */
function readVersion(postgres: string): string | null {
  const named = /\/postgresql\/(\d+)\/bin\/|\/pgsql-(\d+)\/|\/libexec\/postgresql(\d+)\//.exec(postgres);
  if (named) return named[1] ?? named[2] ?? named[3] ?? null;
  try {
    const said = execFileSync(postgres, ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 5000,
    });
    return /\(PostgreSQL\) (\S+)/.exec(said)?.[1] ?? null;
  } catch {
    return null;
  }
}
