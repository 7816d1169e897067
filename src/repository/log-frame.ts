import type { Tx } from "../db/database.ts";
import type { LogFrame } from "../domain/log-frame.ts";

/** Of each, what 0003 made of it, without spaces, brackets and casts to text. */
const COLUMNS = {
  at: "entry::jsonb->>'at'",
  action: "entry::jsonb->>'action'",
  actor: "entry::jsonb#>>'{actor,name}'[]",
  identity: "entry::jsonb->>'identity'",
  credential: "entry::jsonb->>'credential'",
} as const;

/** For whoever may read the log. */
export async function readFrame(tx: Tx): Promise<LogFrame> {
  const [row] = await tx.query<LogFrame>(
    `SELECT (SELECT coalesce(jsonb_agg(w.name ORDER BY w.name), '[]')
               FROM (SELECT pair ->> 0 AS name, pair ->> 1 AS made FROM jsonb_array_elements($1::jsonb) pair) w
               LEFT JOIN pg_attribute a ON a.attrelid = 'midctl_log'::regclass AND a.attname = w.name AND a.attgenerated = 's'
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
              WHERE regexp_replace(pg_get_expr(d.adbin, d.adrelid), '[() ]|::text', '', 'g') IS DISTINCT FROM w.made) AS loose,
            (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class c
              WHERE c.oid IN ('midctl_log'::regclass, 'midctl_log_head'::regclass, 'midctl_log_tile'::regclass, 'midctl_environment'::regclass)
                AND c.relrowsecurity) AS veiled,
            (SELECT min(l.entry) FROM midctl_log l WHERE l."index" = 0) AS first,
            (SELECT "databaseId"::text FROM midctl_environment) AS id`,
    [JSON.stringify(Object.entries(COLUMNS))],
  );
  return row ?? { loose: [], veiled: [], first: null, id: null };
}
