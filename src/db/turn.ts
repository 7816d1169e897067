import { MidctlError } from "../domain/errors.ts";
import type { Database, OwnTx, Tx } from "./database.ts";
import { readSqlState } from "./failure.ts";
import { LOCK } from "./frame.ts";
import { HISTORY } from "./history.ts";

/**
 * One transaction that has the schema to itself, among all that change it. A transaction's lock rather than a session's: it
 * ends exactly when the change is there, and passes any pooler. Tried for, not waited for: a build of an index would wait
 * for the snapshot of whoever waits.
 * @param work given who asked, since it runs as the schema's owner
 */
export function takeTurnIn<T>(
  db: Database,
  work: (tx: OwnTx, asker: string) => Promise<T>,
  options: { readonly removes: boolean } = { removes: false },
): Promise<T> {
  return db.transaction(async (tx) => {
    const [turn] = await tx.query<{ ours: boolean }>("SELECT pg_try_advisory_xact_lock($1::bigint) AS ours", [
      LOCK,
    ]);
    if (turn?.ours !== true) throw inUse("Another midctl is migrating this database");
    await tx.query("SELECT set_config('lock_timeout', '60s', true)");
    await pinSearchPath(tx);
    return work(tx, await becomeOwner(tx, options));
  });
}

/**
 * A migrator makes nothing of its own: what it adds belongs to the schema's owner, of which it is a member.
 * @param options.removes a superuser stays one where nothing is made: he takes away what the owner could not
 * @returns who it was before
 */
export async function becomeOwner(
  tx: Tx,
  { removes }: { readonly removes: boolean } = { removes: false },
): Promise<string> {
  const [asker] = await tx.query<{ name: string }>("SELECT current_user::text AS name");
  await tx.query(
    `SELECT set_config('role', o.rolname, true) FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
      WHERE c.oid = to_regclass($1) AND o.rolname <> current_user
        ${removes ? "AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)" : ""}
        AND pg_has_role(o.oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)`,
    [HISTORY],
  );
  return asker?.name ?? "";
}

/** What PostgreSQL says of a lock that was not to be had in time. */
export const LOCK_NOT_AVAILABLE = "55P03";

/** @param what "…", of whatever has the locks */
export function inUse(what: string): MidctlError {
  return new MidctlError("unavailable", `${what}; what is missing of the schema was not added.`, {
    hint: "Run midctl db migrate again: it goes on where it stopped. pg_stat_activity shows who holds on for long.",
    details: { sqlState: LOCK_NOT_AVAILABLE },
  });
}

/** Runs it again and again, where a lock was not to be had at once; the pauses (up to 50, 100, … 800 ms) let the host work. */
export async function takeTurn<T>(attempt: () => Promise<T>, giveUpAt: number): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (readSqlState(error) !== LOCK_NOT_AVAILABLE || performance.now() >= giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 50 * 2 ** Math.min(failures, 4)));
    }
  }
}

/** @throws MidctlError `schema_version` where the user's search_path names no schema that exists */
export async function pinSearchPath(tx: Tx): Promise<void> {
  const [row] = await tx.query<{ schema: string | null }>("SELECT quote_ident(current_schema()) AS schema");
  if (row?.schema == null) {
    throw new MidctlError(
      "schema_version",
      "The database user's search_path names no schema that exists; nothing was changed.",
      {
        hint: "Create the schema, or set search_path for this user or database.",
      },
    );
  }
  await tx.query("SELECT set_config('search_path', $1::text || ', pg_temp', true)", [row.schema]);
}
