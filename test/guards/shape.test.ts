import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { databases } from "../support/databases.ts";
import { readShape } from "../support/shape.ts";

const KAN = readFileSync(new URL("kan.sql", import.meta.url), "utf8");
const HOSTS = ["agent_token", "agent_audit_event"];

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
