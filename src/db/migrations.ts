import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MidctlError } from "../domain/errors.ts";

/**
 * How a file is run, as its name's ending says. `together`: in one transaction with its neighbours. `_host.sql`: in one of its
 * own, under brief locks on tables that a host application is using. `_concurrently.sql`: one `CREATE INDEX CONCURRENTLY`
 * after the other, outside of any transaction, while the host reads and writes.
 */
export type Manner = "together" | "host" | "concurrently";

/** One file of migrations/: `0001_tables.sql` has position 1. */
export interface Migration {
  readonly name: string;
  readonly position: number;
  readonly manner: Manner;
  /** SHA-256 of the file's bytes, in hex. */
  readonly hash: string;
  readonly text: string;
}

/**
 * Reads every migration, in order.
 * @throws MidctlError `schema_version` where the numbers do not run 0001, 0002, … (a lost or doubled file)
 */
export function readMigrations(directory: string = migrationsDirectory()): Migration[] {
  return listMigrations(directory).map((name, index) => {
    const bytes = readFileSync(join(directory, name));
    return {
      name,
      position: index + 1,
      manner: readManner(name),
      hash: createHash("sha256").update(bytes).digest("hex"),
      text: bytes.toString("utf8"),
    };
  });
}

/** The names alone: enough to compare with a database, without reading the files. */
export function listMigrations(directory: string = migrationsDirectory()): string[] {
  const names = readNames(directory).sort();
  names.forEach((name, index) => {
    const expected = String(index + 1).padStart(4, "0");
    if (!name.startsWith(`${expected}_`)) {
      throw new MidctlError(
        "schema_version",
        `The migrations do not follow one another: ${name} stands where ${expected} should.`,
        {
          hint: "This installation of midctl is damaged: install it again.",
          details: { migration: name },
        },
      );
    }
  });
  return names;
}

function readManner(name: string): Manner {
  if (name.endsWith("_concurrently.sql")) return "concurrently";
  return name.endsWith("_host.sql") ? "host" : "together";
}

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function migrationsDirectory(): string {
  return join(findPackageRoot(), "migrations");
}

/** The same file is run as source, as part of the library in dist/lib and inside a CommonJS bundle in dist/cli. */
function findPackageRoot(): string {
  const start = typeof __dirname === "string" ? __dirname : dirname(fileURLToPath(import.meta.url));
  for (let directory = start; ; directory = dirname(directory)) {
    if (isPackageRoot(directory)) return directory;
    if (directory === dirname(directory)) {
      throw new MidctlError("internal", "The migrations that belong to this program were not found.", {
        hint: "This installation of midctl is damaged: install it again.",
      });
    }
  }
}

function isPackageRoot(directory: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { name?: unknown };
    return manifest.name === "midctl";
  } catch {
    return false;
  }
}
