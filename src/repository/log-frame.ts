import type { Tx } from "../db/database.ts";
import type { LogFrame } from "../domain/log-frame.ts";

/** Of each, what 0003 made of it, as PostgreSQL writes it. */
const COLUMNS = {
  at: "((entry)::jsonb ->> 'at'::text)",
  action: "((entry)::jsonb ->> 'action'::text)",
  actor: "((entry)::jsonb #>> '{actor,name}'::text[])",
  identity: "((entry)::jsonb ->> 'identity'::text)",
  credential: "((entry)::jsonb ->> 'credential'::text)",
} as const;

/** For whoever may read the log. */
export async function readFrame(tx: Tx): Promise<LogFrame> {
  const [row] = await tx.query<LogFrame>(
    // Operators and functions that somebody made have numbers from 16384 on; their names may be those of PostgreSQL's own.
    `SELECT (SELECT coalesce(jsonb_agg(w.name ORDER BY w.name), '[]')
               FROM (SELECT pair ->> 0 AS name, pair ->> 1 AS made FROM jsonb_array_elements($1::jsonb) pair) w
               LEFT JOIN pg_attribute a ON a.attrelid = 'midctl_log'::regclass AND a.attname = w.name AND a.attgenerated = 's'
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
              WHERE pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM w.made
                 OR EXISTS (SELECT FROM regexp_matches(d.adbin::text, ':(?:opno|opfuncid|funcid) (\\d+)', 'g') m WHERE m[1]::bigint >= 16384)) AS loose,
            (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class c
              WHERE c.oid IN ('midctl_log'::regclass, 'midctl_log_head'::regclass, 'midctl_log_tile'::regclass, 'midctl_environment'::regclass)
                AND c.relrowsecurity) AS veiled,
            (SELECT min(l.entry) FROM midctl_log l WHERE l."index" = 0) AS first,
            (SELECT l.entry FROM midctl_log l WHERE l.action IN ('environment.create', 'environment.init', 'environment.protect')
              ORDER BY l."index" DESC LIMIT 1) AS last,
            (SELECT count(*)::int FROM midctl_log l WHERE l."index" IS NULL) AS nameless,
            (SELECT coalesce(jsonb_agg(s.name ORDER BY s.place), '[]') FROM unnest(current_schemas(false)) WITH ORDINALITY s(name, place)
               JOIN pg_namespace n ON n.nspname = s.name JOIN pg_class c ON c.relnamespace = n.oid
              WHERE c.relname = 'midctl_log' AND c.oid <> 'midctl_log'::regclass) AS others,
            (SELECT s.name <> 'pg_catalog' FROM unnest(current_schemas(true)) WITH ORDINALITY s(name, place)
              WHERE NOT starts_with(s.name, 'pg_temp') ORDER BY s.place LIMIT 1) AS "isOvershadowed",
            (SELECT count(*)::int FROM midctl_log_head) AS heads,
            (SELECT count(*)::int FROM midctl_environment) AS environments,
            (SELECT jsonb_build_object('databaseId', e."databaseId", 'name', e.name, 'live', e.live, 'protected', e.protected)
               FROM midctl_environment e LIMIT 1) AS environment`,
    [JSON.stringify(Object.entries(COLUMNS))],
  );
  if (row === undefined) throw new Error("a statement that gives one row gave none");
  return row;
}
