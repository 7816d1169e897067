import type { Database } from "../../src/db/database.ts";

/** Everything that a schema is made of, as text. */
export function readCatalogue(db: Database): Promise<unknown[]> {
  return db.query(
    `SELECT 'relation' AS what, concat_ws(' ', c.relname, c.relkind, c.relrowsecurity) AS it FROM pg_class c WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
     UNION ALL SELECT 'column', concat_ws(' ', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
     UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = quote_ident(current_schema())::regnamespace
     UNION ALL SELECT 'index', pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace)
     UNION ALL SELECT 'trigger', concat_ws(' ', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT 'function', concat_ws(' ', oid::regprocedure, prosecdef, proconfig, proacl, md5(prosrc)) FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace
     UNION ALL SELECT 'comment', concat_ws(' ', objoid::regclass, objsubid, description) FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace)
     ORDER BY 1, 2`,
  );
}
