/**
 * How statements look up what they are given by the dozen or by the thousand. PostgreSQL takes any list for a hundred rows, and for so
 * many it would read the whole table where it is not large; here each is looked up by its index, whatever the table holds.
 */

/** The texts of a JSON array in `$1`, for `= ANY (…)`. */
export const LISTED = "ARRAY (SELECT jsonb_array_elements_text($1::text::jsonb))";

/**
 * What stands in a table for each row before it in FROM.
 * @param columns those that are used: not every role may read all of them
 * @param where one row by index, such as `slug = g.identity`
 */
export function lookedUp(table: string, alias: string, columns: string, where: string): string {
  return `LATERAL (SELECT ${columns} FROM ${table} WHERE ${where} OFFSET 0) ${alias}`;
}
