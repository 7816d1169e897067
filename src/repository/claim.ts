import type { Tx } from "../db/database.ts";

/** Who acts, as they say, and why. The log keeps it beside `session_user`, which nobody can claim. */
export interface Claim {
  readonly actor: { readonly kind: ActorKind; readonly name: string };
  readonly reason: string | null;
  readonly approval?: string | null;
}

export type ActorKind = "operator" | "machine_identity" | "legacy_token" | "host";

/**
 * Says for the rest of the transaction who acts and why; every log entry it appends carries that. Returns the
 * transaction's id, by which its fate can be asked for when its COMMIT goes unanswered.
 */
export async function claimTransaction(tx: Tx, claim: Claim): Promise<string> {
  const [row] = await tx.query<{ id: string }>(
    `SELECT set_config('midctl.context', $1, true), pg_current_xact_id()::text AS id`,
    [JSON.stringify({ actor: claim.actor, reason: claim.reason, approval: claim.approval ?? null })],
  );
  return row?.id ?? "";
}

/** How long, in ms, the rest of the transaction waits for any one lock. */
export async function setLockTimeout(tx: Tx, ms: number): Promise<void> {
  await tx.query("SELECT set_config('lock_timeout', $1::text || 'ms', true)", [String(Math.trunc(ms))]);
}

/** The id of the transaction that this runs in, or null for one that has written nothing and has none. */
export async function readTransaction(tx: Tx): Promise<string | null> {
  const [row] = await tx.query<{ id: string | null }>(`SELECT pg_current_xact_id_if_assigned()::text AS id`);
  return row?.id ?? null;
}

export interface Fate {
  /** null where the server has forgotten it. */
  readonly fate: "committed" | "aborted" | "in progress" | null;
  /** For how long the server has run, ms. Whoever may read all statistics sees a restart within one postmaster, too. */
  readonly uptime: number;
}

/** What became of a transaction, asked on another connection. */
export async function readFate(db: Tx, transaction: string): Promise<Fate | null> {
  const [row] = await db.query<Fate>(
    `SELECT pg_xact_status($1::text::xid8) AS fate,
            extract(epoch FROM clock_timestamp() - greatest(pg_postmaster_start_time(),
              (SELECT max(a.backend_start) FROM pg_stat_activity a WHERE a.backend_type = 'checkpointer')))::float8 * 1000 AS uptime`,
    [transaction],
  );
  return row ?? null;
}

/** Runs now what would run at COMMIT: for a dry run, which never gets there. */
export async function checkDeferred(tx: Tx): Promise<void> {
  await tx.query("SET CONSTRAINTS ALL IMMEDIATE");
}
