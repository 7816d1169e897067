import type { Tx } from "../db/database.ts";

/** The log as it is, and the database's clock. */
export interface Moment {
  readonly now: string;
  readonly size: number;
  /** Hex, of the last entry; null where there is none. */
  readonly leafHash: string | null;
  /** Of the tree over the log, as `StoredTree` has it; null in a schema from before there was one. */
  readonly edge: readonly Buffer[] | null;
}

export async function readMoment(tx: Tx): Promise<Moment> {
  const [row] = await tx.query<{
    now: string;
    size: string;
    leafHash: string | null;
    edge: readonly string[] | null;
  }>(
    `SELECT midctl_instant(midctl_now()) AS now, h.size::text AS size, to_jsonb(h) -> 'edge' AS edge,
            (SELECT encode(l."leafHash", 'hex') FROM midctl_log l WHERE l."index" = h.size - 1) AS "leafHash"
       FROM midctl_log_head h`,
  );
  const { now = "", size = "0", leafHash = null, edge = null } = row ?? {};
  const hashes = edge?.map((text) => Buffer.from(text.replace(/^\\x/, ""), "hex")) ?? null;
  return { now, size: Number(size), leafHash, edge: hashes };
}
