import type { Tx } from "../db/database.ts";
import { LOG_HEAD, type LogHead } from "./tree.ts";

/** Where verifiers hear of changes: `<upto> <public id>…`, `*` for all (migrations/0005). */
export const CHANGE_CHANNEL = "midctl_change";

/** Where a verifier hears itself, and so knows that it has heard whatever was said before. */
export function pingChannel(verifier: string): string {
  return `midctl_ping_${verifier.replaceAll("-", "")}`;
}

/** Says something to ourselves, as a transaction of its own. */
export async function ping(tx: Tx, verifier: string, word: string): Promise<void> {
  await tx.query("SELECT pg_notify($1::text, $2::text)", [pingChannel(verifier), word]);
}

/** The log's head as the statement saw it: whoever hears the word that it said knows that both are committed. */
export interface Leased extends LogHead {
  /** The database's clock when the lease was written: RFC 3339 in UTC. */
  readonly at: string;
}

/**
 * Begins a lease, and says so on the verifier's own channel. It holds from when that is heard: the statement's answer
 * comes before its commit. Nothing is cached yet, so all that was told until now is let go of.
 */
export async function beginLease(
  tx: Tx,
  lease: { readonly id: string; readonly name: string; readonly leaseMs: number },
): Promise<Leased | null> {
  const [row] = await tx.query<Leased>(
    `WITH begun AS (
       INSERT INTO midctl_verifier (id, name, "leaseMs", "renewedAt", "letGo")
       SELECT $1::uuid, $2, $3::int, midctl_now(), told FROM midctl_log_head RETURNING 1
     )
     SELECT midctl_instant(midctl_now()) AS at, pg_notify($4::text, '0') AS said, ${LOG_HEAD} FROM begun CROSS JOIN midctl_log_head h`,
    [lease.id, lease.name, lease.leaseMs, pingChannel(lease.id)],
  );
  return row ?? null;
}

/** Renews a lease; as `beginLease` otherwise. Null where it was taken for dead and its row is gone. */
export async function renewLease(tx: Tx, id: string, word: string): Promise<Leased | null> {
  const [row] = await tx.query<Leased>(
    `WITH renewed AS (
       UPDATE midctl_verifier SET renewals = renewals + 1, "renewedAt" = midctl_now() WHERE id = $1::uuid RETURNING 1
     )
     SELECT midctl_instant(midctl_now()) AS at, pg_notify($2::text, $3::text) AS said, ${LOG_HEAD} FROM renewed CROSS JOIN midctl_log_head h`,
    [id, pingChannel(id), word],
  );
  return row ?? null;
}

/**
 * Says that everything below `upto` is let go of. Not waited for on the disk: where a crash loses it, the lease of the
 * verifier that said it is over too.
 */
export async function acknowledge(tx: Tx, id: string, upto: string): Promise<void> {
  await tx.query(
    `UPDATE midctl_verifier SET "letGo" = $2::bigint
      WHERE id = $1::uuid AND "letGo" < $2::bigint AND set_config('synchronous_commit', 'off', true) = 'off'`,
    [id, upto],
  );
}

/** Ends a lease that its holder gives up. */
export async function endLease(tx: Tx, id: string): Promise<void> {
  await tx.query("DELETE FROM midctl_verifier WHERE id = $1::uuid", [id]);
}

/** A verifier that may have something cached. */
export interface Verifier {
  readonly id: string;
  readonly name: string;
  readonly leaseMs: number;
  /** Stands still once it is dead. */
  readonly renewals: string;
}

export async function readVerifiers(tx: Tx): Promise<Verifier[]> {
  return tx.query<Verifier>(`SELECT id, name, "leaseMs", renewals FROM midctl_verifier`);
}

/** How far verifiers have been told. */
export async function readTold(tx: Tx): Promise<string> {
  const [row] = await tx.query<{ told: string }>("SELECT told FROM midctl_log_head");
  return row?.told ?? "0";
}

/** A verifier, and whether it still holds what was told below some point. */
export interface Holder extends Verifier {
  readonly holds: boolean;
}

export async function readHolders(tx: Tx, upto: string): Promise<Holder[]> {
  return tx.query<Holder>(
    `SELECT id, name, "leaseMs", renewals, "letGo" < $1::bigint AS holds FROM midctl_verifier`,
    [upto],
  );
}

/** Takes the row of a verifier that was seen to stand still; if it renewed meanwhile, or its lease still runs, nothing happens. */
export async function buryVerifier(tx: Tx, dead: Pick<Verifier, "id" | "renewals">): Promise<void> {
  await tx.query(
    `DELETE FROM midctl_verifier WHERE id = $1::uuid AND renewals = $2::bigint
        AND ("heldBy" = session_user OR "renewedAt" + make_interval(secs => "leaseMs" / 1000.0) <= midctl_now())`,
    [dead.id, dead.renewals],
  );
}
