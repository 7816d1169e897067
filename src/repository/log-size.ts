/** How much of the log is read at once. Entries have no bound of their own, and what is too large is not even read. */
import type { Tx } from "../db/database.ts";

/** In bytes: of an entry that is shown with all that it says. Those that midctl makes are some hundred. */
export const LONGEST_SHOWN = 1024 * 1024;

/** In bytes, of the entries that are shown at once. */
export const SHOWN_AT_ONCE = 32 * 1024 * 1024;

export interface Fit {
  /** Behind the last entry that fits: at least the first one is read. */
  readonly until: number;
  /** Bytes of the first one; 0 where there is none. */
  readonly first: number;
}

/** How far entries are read from one on, and before another, so that they come to so many bytes at most. Reads sizes alone. */
export async function readFit(tx: Tx, from: number, until: number, bytes: number): Promise<Fit> {
  const [row] = await tx.query<Fit>(
    `SELECT coalesce(min("index") FILTER (WHERE "index" > $1::bigint AND sum > $3::bigint), $2::bigint)::float8 AS until,
            coalesce(max(bytes) FILTER (WHERE "index" = $1::bigint), 0)::float8 AS first
       FROM (SELECT l."index", octet_length(l.entry) AS bytes, sum(octet_length(l.entry)) OVER (ORDER BY l."index") AS sum
               FROM midctl_log l WHERE l."index" >= $1::bigint AND l."index" < $2::bigint) sized`,
    [from, until, bytes],
  );
  return row ?? { until, first: 0 };
}
