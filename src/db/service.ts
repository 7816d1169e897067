import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { refuseUrl } from "./refuse-url.ts";

/** What a service may say, by libpq's names. */
const KEYS = [
  "host",
  "hostaddr",
  "port",
  "dbname",
  "user",
  "password",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "connect_timeout",
  "application_name",
] as const;

export type Service = Readonly<Partial<Record<(typeof KEYS)[number], string>>>;

/**
 * The service of that name in `PGSERVICEFILE`, else `~/.pg_service.conf`, else `pg_service.conf` in `PGSYSCONFDIR`. A key
 * that would be ignored is refused, as in a URL.
 * @throws MidctlError `usage`
 */
export function readService(name: string): Service {
  const { PGSERVICEFILE: named, PGSYSCONFDIR: system } = process.env;
  const files = [
    named || join(homedir(), ".pg_service.conf"),
    ...(system ? [join(system, "pg_service.conf")] : []),
  ];
  for (const file of files) {
    const section = findSection(file, name);
    if (section !== null) return section;
  }
  throw refuseUrl(
    `there is no service ${JSON.stringify(name)} in ${files.join(" or ")}`,
    "PGSERVICEFILE names the file; a service begins with [NAME].",
  );
}

function findSection(file: string, name: string): Service | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return null;
  }
  let found: Partial<Record<string, string>> | null = null;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("[")) {
      if (found !== null) return found;
      if (line === `[${name}]`) found = {};
      continue;
    }
    if (found === null) continue;
    const at = line.indexOf("=");
    const key = line.slice(0, Math.max(0, at)).trim();
    // The line itself may be a password gone astray.
    if (!KEYS.some((known) => known === key)) {
      throw refuseUrl(
        `line ${index + 1} of ${file} says nothing that is supported`,
        `A service has lines of KEY=VALUE; known are ${KEYS.join(", ")}.`,
      );
    }
    found[key] ??= line.slice(at + 1).trim();
  }
  return found;
}
