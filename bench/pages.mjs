/** Pages of the database `large` against pages of the database `small`, side by side. */
import { takeTurns } from "./measure.mjs";
import { open } from "./server.mjs";

export const LIMIT = 50;
const ROUNDS_A_CONNECTION = 20;
const at = (cursor) => ({ limit: LIMIT, cursor, descending: false });

/**
 * The cursor that a whole list has come to after so many rows; read in large pages, since nobody measures that.
 * @param page async (db, { limit, cursor, descending }) → { nextCursor }
 */
export async function cursorAt(page, db, rows) {
  let cursor = null;
  for (let seen = 0; seen < rows; ) {
    const step = Math.min(1000, rows - seen);
    const found = await page(db, { limit: step, cursor, descending: false });
    if (found.nextCursor === null) return cursor;
    cursor = found.nextCursor;
    seen += step;
  }
  return cursor;
}

/** One page of `LIMIT` rows. */
export const readPage = (page, db, cursor) => page(db, at(cursor));

async function timed(page, db, cursor) {
  const start = performance.now();
  await readPage(page, db, cursor);
  return performance.now() - start;
}

/**
 * New connections every now and then: a server process that shares its processor with something busy would be slow for
 * as long as it lives. Six pages before the first that counts: by then the server has settled on its plan.
 * @param places { small, large }: where each page begins
 */
export async function compare(server, page, places, rounds) {
  const figures = new Map([
    ["small", []],
    ["large", []],
  ]);
  for (let left = rounds; left > 0; left -= ROUNDS_A_CONNECTION) {
    const small = open(server, "small", 1);
    const large = open(server, "large", 1);
    for (let warm = 0; warm < 6; warm++) {
      await readPage(page, small, places.small);
      await readPage(page, large, places.large);
    }
    const some = await takeTurns(
      { small: () => timed(page, small, places.small), large: () => timed(page, large, places.large) },
      Math.min(left, ROUNDS_A_CONNECTION),
    );
    for (const [name, values] of some) figures.get(name).push(...values);
    await small.close();
    await large.close();
  }
  return figures;
}

/** The scans and sorts of one page that touch more than `most` rows: what would grow with the table. */
export async function explain(page, db, cursor, most) {
  const plans = [];
  const explained = {
    async query(text, params) {
      if (/ORDER BY/.test(text)) {
        const [row] = await db.query(`EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) ${text}`, params);
        plans.push(row["QUERY PLAN"][0].Plan);
      }
      return db.query(text, params);
    },
  };
  await readPage(page, explained, cursor);
  const nodes = (plan) => [plan, ...(plan.Plans ?? []).flatMap(nodes)];
  return plans.flatMap(nodes).flatMap((node) => {
    const rows = node["Actual Rows"] * node["Actual Loops"] + (node["Rows Removed by Filter"] ?? 0);
    return rows > most ? [`${node["Node Type"]} over ${rows} rows`] : [];
  });
}
