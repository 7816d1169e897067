import type { Database } from "../../src/db/database.ts";

/** Columns, constraints, indexes and triggers of tables, sorted, as text. */
export interface Shape {
  readonly columns: string[];
  readonly constraints: string[];
  readonly indexes: string[];
  readonly triggers: string[];
}

/** That of every table that is ours or ours too. */
export async function readShape(db: Database): Promise<Shape> {
  const [shape] = await db.query<Shape>(
    `WITH ours AS (SELECT oid, relname FROM pg_class
                    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('user', 'workspace'))
     SELECT (SELECT json_agg(concat_ws(' ', o.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                                       pg_get_expr(d.adbin, d.adrelid)) ORDER BY o.relname, a.attname)
               FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
               LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum) AS columns,
            (SELECT json_agg(concat_ws(' ', o.relname, pg_get_constraintdef(c.oid)) ORDER BY o.relname, pg_get_constraintdef(c.oid))
               FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid WHERE c.contype <> 'n') AS constraints,
            (SELECT json_agg(regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX \\S+ ON', '\\1') ORDER BY o.relname, i.indexrelid::regclass::text)
               FROM ours o JOIN pg_index i ON i.indrelid = o.oid) AS indexes,
            (SELECT json_agg(concat_ws(' ', o.relname, t.tgenabled, pg_get_triggerdef(t.oid)) ORDER BY o.relname, t.tgname)
               FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal) AS triggers`,
  );
  if (shape === undefined) throw new Error("the catalogue gave no answer");
  return { ...shape, indexes: [...shape.indexes].sort() };
}
