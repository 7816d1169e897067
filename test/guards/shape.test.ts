import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { databases } from "../support/databases.ts";

const KAN = readFileSync(new URL("kan.sql", import.meta.url), "utf8");
const HOSTS = ["agent_token", "agent_audit_event"];

interface Shape {
  readonly columns: string[];
  readonly constraints: string[];
  readonly indexes: string[];
  readonly triggers: string[];
}

/** Columns, constraints, indexes and triggers of every table that is ours or ours too, sorted, as text. */
async function readShape(db: Database): Promise<Shape> {
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

function without(lines: readonly string[], dropped: RegExp): string[] {
  return lines.filter((line) => !dropped.test(line));
}

describe.each(databases())("the schema on $name", (factory) => {
  test("is the same beside a host's tables as on its own, but for what the host's tables demand of their own rows", async () => {
    const fresh = await factory.create();
    const own = await readShape(fresh.db);
    await fresh.dispose();
    const adopted = await factory.createBare();
    await adopted.db.transaction((tx) => tx.script(KAN));
    await migrate(adopted.db);
    const hosted = await readShape(adopted.db);
    await adopted.dispose();

    // A host's tokens and events are of a workspace, and its tokens of a user.
    const hosts = new RegExp(
      `^(${HOSTS.join("|")}) (workspaceId |FOREIGN KEY \\("(workspaceId|createdBy)"\\))`,
    );
    expect(hosted.triggers).toEqual(own.triggers);
    expect(hosted.indexes).toEqual(own.indexes);
    expect(without(hosted.columns, hosts)).toEqual(without(own.columns, hosts));
    expect(without(hosted.constraints, hosts)).toEqual(without(own.constraints, hosts));
  });

  test("has trigger functions that run as their owner, with a search path that nobody slips into, and for nobody else's triggers", async () => {
    const fresh = await factory.create();

    const functions = await fresh.db.query<{
      name: string;
      definer: boolean;
      path: string | null;
      open: boolean;
    }>(
      `SELECT proname AS name, prosecdef AS definer, (SELECT c FROM unnest(proconfig) c WHERE c LIKE 'search_path=%') AS path,
              has_function_privilege('pg_monitor', oid, 'EXECUTE') AS open
         FROM pg_proc WHERE proname LIKE 'midctl\\_%' AND prorettype = 'trigger'::regtype`,
    );
    await fresh.dispose();

    expect(functions.length).toBeGreaterThan(20);
    for (const each of functions) {
      expect(each).toEqual({
        name: each.name,
        definer: true,
        path: "search_path=public, pg_temp",
        open: false,
      });
    }
  });
});
