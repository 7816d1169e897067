import { runSql } from "../support/databases.ts";
import type { Desk } from "./desk.ts";

/** The database as it is now, under another name: what a backup of it restores. Returns what a command needs to be run there. */
export async function backUp(desk: Desk, name: string): Promise<{ readonly MIDCTL_DATABASE_URL: string }> {
  const [{ database } = { database: "" }] = await desk.sql<{ database: string }>(
    "SELECT current_database() AS database",
  );
  await runSql(
    desk.directUrl,
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${database}' AND pid <> pg_backend_pid()`,
  );
  await runSql(desk.directUrl, `CREATE DATABASE "${database}_${name}" TEMPLATE "${database}"`);
  return { MIDCTL_DATABASE_URL: desk.directUrl.replace(/\/[^/?]+(?=\?|$)/, `/${database}_${name}`) };
}
