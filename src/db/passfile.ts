import { readFileSync, type Stats, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Which password is wanted. */
export interface PasswordQuestion {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/**
 * The password of PostgreSQL's password file, `PGPASSFILE` or `~/.pgpass`, by libpq's rules: the first line that fits, `*`
 * for any, `\:` and `\\` for themselves; a file that others can read is ignored, with a warning. null where nothing fits.
 */
export function findPassword(question: PasswordQuestion, warn: (text: string) => void): string | null {
  const path = process.env.PGPASSFILE || join(homedir(), ".pgpass");
  let stat: Stats;
  let text: string;
  try {
    stat = statSync(path);
    if (!stat.isFile()) {
      warn(`the password file ${path} is no plain file and was ignored`);
      return null;
    }
    if (process.platform !== "win32" && (stat.mode & 0o077) !== 0) {
      warn(`the password file ${path} can be read by others and was ignored: chmod 600 ${path}`);
      return null;
    }
    text = readFileSync(path, "utf8");
  } catch {
    return null;
  }
  return matchPassword(text, question);
}

/** Exported for tests. */
export function matchPassword(text: string, { host, port, database, user }: PasswordQuestion): string | null {
  // A socket's directory goes by its own name, and by that of this machine.
  const hosts = host.startsWith("/") ? [host, "localhost"] : [host];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#") || line === "") continue;
    const fields = /^((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):(.*)$/.exec(
      line,
    );
    if (fields === null) continue;
    const [, ofHost = "", ofPort = "", ofDatabase = "", ofUser = "", password = ""] = fields;
    if (
      hosts.some((name) => fits(ofHost, name)) &&
      fits(ofPort, String(port)) &&
      fits(ofDatabase, database) &&
      fits(ofUser, user)
    ) {
      // libpq's own end: a colon that is not escaped.
      return unescaped(/^(?:\\.|[^\\:])*/.exec(password)?.[0] ?? "");
    }
  }
  return null;
}

function fits(field: string, value: string): boolean {
  return field === "*" || unescaped(field) === value;
}

function unescaped(field: string): string {
  return field.replace(/\\(.)/g, "$1");
}
