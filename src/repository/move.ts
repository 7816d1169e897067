import type { Tx } from "../db/database.ts";

/** How much a database holds, in rows. */
export interface Holdings {
  readonly identities: number;
  readonly credentials: number;
  /** Agent tokens, legacy ones included. */
  readonly tokens: number;
  /** What agents did. */
  readonly events: number;
  /** Of the log. */
  readonly entries: number;
}

export async function readHoldings(tx: Tx): Promise<Holdings> {
  const [row] = await tx.query<Holdings>(
    `SELECT (SELECT count(*) FROM machine_identity)::float8 AS identities,
            (SELECT count(*) FROM machine_identity_credential)::float8 AS credentials,
            (SELECT count(*) FROM agent_token)::float8 AS tokens,
            (SELECT count(*) FROM agent_audit_event)::float8 AS events,
            (SELECT count(*) FROM midctl_log)::float8 AS entries`,
  );
  if (row === undefined) throw new Error("a query without FROM gave no row");
  return row;
}

/** Writes down where the database moves: the log's last entry, which closes it. */
export async function markMoved(tx: Tx, place: string): Promise<void> {
  await tx.query(`UPDATE midctl_environment SET "movedTo" = $1`, [place]);
}

/** Whether every entry has the hash that it says, at the index that it says, and the head counts them all. */
export async function isLogSound(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ sound: boolean }>(
    `SELECT coalesce(bool_and(l."leafHash" = sha256(decode('00', 'hex') || convert_to(l.entry, 'UTF8'))
                              AND (l.entry::jsonb ->> 'index')::bigint = l."index"), true)
            AND count(*) = (SELECT size FROM midctl_log_head) AND coalesce(max(l."index") + 1, 0) = count(*)
            AND coalesce(min(l."index"), 0) = 0 AS sound
       FROM midctl_log l`,
  );
  return row?.sound === true;
}

/** What the log did at an index; null where it has not come so far. */
export async function readAction(tx: Tx, index: number): Promise<string | null> {
  const [row] = await tx.query<{ action: string }>(
    `SELECT action FROM midctl_log WHERE "index" = $1::bigint`,
    [index],
  );
  return row?.action ?? null;
}

/** The last id of a table; 0 for none. */
export async function readLastId(tx: Tx, table: "agent_token" | "agent_audit_event"): Promise<string> {
  const [row] = await tx.query<{ id: string }>(`SELECT coalesce(max(id), 0)::text AS id FROM ${table}`);
  return row?.id ?? "0";
}

/** Tells verifiers of a database that all in it may be new. */
export async function tellEverybody(tx: Tx): Promise<void> {
  await tx.query("SELECT midctl_tell(told, ARRAY['*']) FROM midctl_log_head");
}
