/** pgbench's prepared single-row select by public id: what a lookup costs where nothing but PostgreSQL works. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/** @returns a path; throws where there is none */
export function findPgbench(given) {
  const places = [given, ...[18, 17, 16, 15].map((major) => `/usr/lib/postgresql/${major}/bin/pgbench`)];
  const found = places.find((place) => place !== undefined && existsSync(place));
  if (found !== undefined) return found;
  return execFileSync("sh", ["-c", "command -v pgbench"], { encoding: "utf8" }).trim();
}

/** Writes the script: any of `count` credentials, by the ids that tokens.mjs gives. */
export function writeSelect(directory, count) {
  const path = join(directory, "select.pgbench");
  writeFileSync(
    path,
    `\\set n random(0, ${count - 1})\nSELECT "publicId", status, "tokenHash", "expiresAt" FROM machine_identity_credential WHERE "publicId" = lpad(:n, 12, '0');\n`,
  );
  return path;
}

/** Transactions per second. pgbench takes whole seconds alone. */
export async function runPgbench(pgbench, server, database, script, { clients, threads, seconds }) {
  const args = ["-n", "-f", script, "-c", `${clients}`, "-j", `${threads}`, "-T", `${Math.ceil(seconds)}`];
  const { stdout, stderr } = await promisify(execFile)(pgbench, [
    ...args,
    ...["-M", "prepared", "-h", server.socketDir, "-p", `${server.port}`, "-U", server.user, database],
  ]);
  const [, tps] = /^tps = ([\d.]+)/m.exec(stdout) ?? [];
  if (tps === undefined) throw new Error(`pgbench: ${stderr || stdout}`);
  return Number(tps);
}
