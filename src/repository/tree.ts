import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import type { Beyond } from "../domain/log-findings.ts";
import type { StoredTree, Tile, TileRun } from "../domain/tile.ts";
import type { Barred } from "./token-facts.ts";

export interface LogTree extends StoredTree {
  readonly databaseId: string;
}

/**
 * The tree over the log as long as the log is now. It stays readable while the log grows: what is complete never changes, and
 * the edge is read here.
 * @throws MidctlError `conflict` where there is no head, or no name for whose it is: somebody took it away, or hides it from this role
 */
export async function readTree(tx: Tx): Promise<LogTree> {
  const [head, other] = await tx.query<{
    databaseId: string;
    size: string;
    edge: readonly (string | null)[];
  }>(
    `SELECT e."databaseId"::text AS "databaseId", h.size::text AS size,
            (SELECT coalesce(jsonb_agg(encode(r.hashes, 'hex') ORDER BY r.level), '[]')
               FROM unnest(h.edge) WITH ORDINALITY r(hashes, level)) AS edge
       FROM midctl_log_head h CROSS JOIN midctl_environment e`,
  );
  if (head === undefined) {
    throw new MidctlError(
      "conflict",
      "The log has no head, or the database no name, that this role is shown: the row was taken away, or row-level security hides it; nothing was read.",
      { hint: "`midctl doctor` as the owner of the schema tells which." },
    );
  }
  if (other !== undefined) {
    throw new MidctlError(
      "conflict",
      "The log has several heads, or the database several names: rows were put in by hand; nothing was read.",
      { hint: "`midctl doctor` as the owner of the schema tells which." },
    );
  }
  return {
    databaseId: head.databaseId,
    size: Math.min(Number(head.size), Number.MAX_SAFE_INTEGER),
    edge: head.edge.map((hex) => Buffer.from(hex ?? "", "hex")),
    readTiles: (tiles) => readTiles(tx, tiles),
  };
}

async function readTiles(tx: Tx, tiles: readonly Tile[]): Promise<readonly Uint8Array[]> {
  const rows = await tx.query<{ hashes: string | null }>(
    `SELECT encode(t.hashes, 'hex') AS hashes
       FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY w(level, position, at)
       LEFT JOIN midctl_log_tile t ON t.level = w.level AND t.position = w.position ORDER BY w.at`,
    [listOf(tiles.map(({ level }) => level)), listOf(tiles.map(({ position }) => position))],
  );
  return rows.map(({ hashes }) => Buffer.from(hashes ?? "", "hex"));
}

/** The hashes of tiles that lie side by side, for each run; null where one is missing, or is none. */
export async function readRuns(tx: Tx, runs: readonly TileRun[]): Promise<readonly (Buffer | null)[]> {
  const rows = await tx.query<{ hashes: string | null }>(
    `SELECT CASE WHEN t.whole = w.until - w."from" THEN encode(t.hashes, 'hex') END AS hashes
       FROM unnest($1::int[], $2::bigint[], $3::bigint[]) WITH ORDINALITY w(level, "from", until, at)
      CROSS JOIN LATERAL (
        SELECT string_agg(hashes, '' ORDER BY position) AS hashes, count(*) FILTER (WHERE octet_length(hashes) = 128) AS whole
          FROM midctl_log_tile WHERE level = w.level AND position >= w."from" AND position < w.until) t ORDER BY w.at`,
    [
      listOf(runs.map(({ level }) => level)),
      listOf(runs.map(({ from }) => from)),
      listOf(runs.map(({ until }) => until)),
    ],
  );
  return rows.map(({ hashes }) => (hashes === null ? null : Buffer.from(hashes, "hex")));
}

/** How far entries, or hashes of any, are stored: behind the last one, and at most three further, which only the edge has. */
export async function readStoredEnd(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ end: number }>(
    `SELECT greatest((SELECT coalesce(max("index"), -1) + 1 FROM midctl_log),
                     (SELECT coalesce(max(position), -1) + 1 FROM midctl_log_tile WHERE level = 0) * 4)::float8 AS "end"`,
  );
  return (row?.end ?? 0) + 3;
}

/** The head of the log as one statement saw it, raw: what it amounts to is reckoned only where it is another than before. */
export interface LogHead {
  readonly size: string;
  /** The edge as PostgreSQL writes it: two that differ are two heads, and so are two sizes. */
  readonly edge: string;
}

/** Columns of `LogHead`, of `midctl_log_head h`. */
export const LOG_HEAD = "h.size::text AS size, h.edge::text AS edge";

/**
 * The tree of a head that was read with something else.
 * @throws MidctlError `unavailable` where the session writes bytes in another way than PostgreSQL's default
 */
export function treeOf(tx: Tx, { size, edge }: LogHead): StoredTree {
  if (!EDGE.test(edge)) {
    throw new MidctlError("unavailable", "The log's head could not be read; nothing was decided by it.", {
      hint: "Let bytea_output be hex, which is PostgreSQL's default.",
    });
  }
  const hashes = edge.match(/(?<=\\x)[0-9a-f]*/g) ?? [];
  return {
    size: Number(size),
    edge: hashes.map((hex) => Buffer.from(hex, "hex")),
    readTiles: (tiles) => readTiles(tx, tiles),
  };
}

const EDGE = /^\{(?:"\\\\x[0-9a-f]*"(?:,(?=")|(?=\})))*\}$/;

export interface SeenHead extends LogHead {
  readonly databaseId: string;
  /** Why nothing may be decided by it, or null. */
  readonly barred: Barred | null;
  /** Whether the tree may be read, without which nobody can tell whether the log went on from another head. */
  readonly mayProve: boolean;
}

/** The head alone, with what a verifier has to know of the database before it believes it. Null without one. */
export async function readLogHead(tx: Tx): Promise<SeenHead | null> {
  const [row] = await tx.query<SeenHead>(
    `SELECT ${LOG_HEAD}, e."databaseId"::text AS "databaseId",
            CASE WHEN pg_is_in_recovery() THEN 'standby' WHEN h.closed THEN 'moved' END AS barred,
            has_table_privilege('midctl_log_tile', 'SELECT') AS "mayProve"
       FROM midctl_log_head h CROSS JOIN midctl_environment e`,
  );
  return row ?? null;
}

function listOf(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

/** An entry as it lies there, with what is kept beside it as its hash. */
export interface LeafRow {
  readonly index: number;
  readonly entry: string;
  /** Hex. */
  readonly leafHash: string | null;
}

/** Entries by index, `from` on and before `until`. */
export async function readLeaves(tx: Tx, from: number, until: number): Promise<LeafRow[]> {
  return tx.query<LeafRow>(
    `SELECT l."index"::float8 AS "index", l.entry, encode(l."leafHash", 'hex') AS "leafHash" FROM midctl_log l
      WHERE l."index" >= $1::bigint AND l."index" < $2::bigint ORDER BY l."index"`,
    [from, until],
  );
}

/** The same, unless they come to more than so many bytes: none then. */
export async function readLightLeaves(
  tx: Tx,
  [from, until]: readonly [from: number, until: number],
  bytes: number,
): Promise<LeafRow[]> {
  return tx.query<LeafRow>(
    `SELECT l."index"::float8 AS "index", l.entry, encode(l."leafHash", 'hex') AS "leafHash" FROM midctl_log l
      WHERE l."index" >= $1::bigint AND l."index" < $2::bigint
        AND (SELECT coalesce(sum(octet_length(w.entry)), 0) FROM midctl_log w WHERE w."index" >= $1::bigint AND w."index" < $2::bigint) <= $3::bigint
      ORDER BY l."index"`,
    [from, until, bytes],
  );
}

/** Entries outside of what the head says, so many at most, by index. */
export async function readOutside(tx: Tx, limit: number): Promise<LeafRow[]> {
  return tx.query<LeafRow>(
    `SELECT l."index"::float8 AS "index", l.entry, encode(l."leafHash", 'hex') AS "leafHash" FROM midctl_log l
      WHERE l."index" < 0 OR l."index" >= (SELECT size FROM midctl_log_head) ORDER BY l."index" LIMIT $1::int`,
    [limit],
  );
}

export async function readBeyond(tx: Tx): Promise<Beyond> {
  const [row] = await tx.query<Beyond>(
    `SELECT l.entries, l.first, l.last,
            (SELECT count(*)::int FROM midctl_log_tile t
              WHERE t.level NOT BETWEEN 0 AND 24 OR t.position < 0 OR t.position >= h.size >> (2 * (t.level + 1))) AS tiles
       FROM midctl_log_head h CROSS JOIN LATERAL (
         SELECT count(*)::int AS entries, min("index")::float8 AS first, max("index")::float8 AS last
           FROM midctl_log WHERE "index" < 0 OR "index" >= h.size) l`,
  );
  return row ?? { entries: 0, first: null, last: null, tiles: 0 };
}
