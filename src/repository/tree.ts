import type { Tx } from "../db/database.ts";
import type { StoredTree } from "../domain/tile.ts";

export interface LogTree extends StoredTree {
  readonly databaseId: string;
}

/**
 * The tree over the log as long as the log is now. It stays readable while the log grows: what is complete never changes, and
 * the edge is read here.
 */
export async function readTree(tx: Tx): Promise<LogTree> {
  const [head] = await tx.query<{ databaseId: string; size: string; edge: readonly string[] }>(
    `SELECT e."databaseId"::text AS "databaseId", h.size::text AS size,
            (SELECT coalesce(jsonb_agg(encode(r.hashes, 'hex') ORDER BY r.level), '[]')
               FROM unnest(h.edge) WITH ORDINALITY r(hashes, level)) AS edge
       FROM midctl_log_head h CROSS JOIN midctl_environment e`,
  );
  return {
    databaseId: head?.databaseId ?? "",
    size: Number(head?.size ?? 0),
    edge: (head?.edge ?? []).map((hex) => Buffer.from(hex, "hex")),
    async readTiles(tiles) {
      const rows = await tx.query<{ hashes: string | null }>(
        `SELECT encode(t.hashes, 'hex') AS hashes
           FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY w(level, position, at)
           LEFT JOIN midctl_log_tile t ON t.level = w.level AND t.position = w.position ORDER BY w.at`,
        [listOf(tiles.map(({ level }) => level)), listOf(tiles.map(({ position }) => position))],
      );
      return rows.map(({ hashes }) => Buffer.from(hashes ?? "", "hex"));
    },
  };
}

function listOf(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}
