import type { Tx } from "../db/database.ts";

/** What one batch came to. */
export interface SealedBatch {
  /** Events that no longer wait: 10,000 at most, and then there may be more. */
  readonly taken: number;
  /** Those of them that were sealed; the others had been deleted meanwhile. */
  readonly sealed: number;
}

/** The most events of one batch, as the database has it. */
export const BATCH_MOST = 10_000;

/**
 * Seals the agent events that wait, at most 10,000, where one of them has waited for so long; none where somebody else is at it.
 * @param ripe milliseconds
 */
export async function sealBatch(tx: Tx, ripe: number): Promise<SealedBatch> {
  const [row] = await tx.query<SealedBatch>("SELECT taken, sealed FROM midctl_seal_events($1::int)", [ripe]);
  return row ?? { taken: 0, sealed: 0 };
}

/** How many events wait to be sealed: what was deleted meanwhile does not. */
export async function countUnsealed(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    "SELECT count(*)::float8 AS count FROM midctl_event_unsealed u JOIN agent_audit_event e ON e.id = u.id",
  );
  return row?.count ?? 0;
}

/** How many have waited for so many seconds; null for whoever may not read that, as before a new `db grant`. */
export async function countOverdue(tx: Tx, seconds: number): Promise<number | null> {
  const [right] = await tx.query<{ reads: boolean }>(
    "SELECT has_table_privilege('midctl_event_unsealed', 'SELECT') AS reads",
  );
  if (right?.reads !== true) return null;
  const [row] = await tx.query<{ count: number }>(
    `SELECT count(*)::float8 AS count FROM midctl_event_unsealed u CROSS JOIN midctl_log_head h
      WHERE NOT h.closed AND u.at <= clock_timestamp() - make_interval(secs => $1::float8)`,
    [seconds],
  );
  return row?.count ?? 0;
}
