import { is } from "drizzle-orm";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";
import { afterEach, describe, expect, it } from "vitest";
import * as schema from "../../src/db/schema.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

interface Column {
  table: string;
  column: string;
  type: string;
  required: boolean;
}

/** What src/db/schema.ts declares. A host writes its own queries against it. */
function declaredColumns(): Column[] {
  const tables = Object.values(schema).filter((value) => is(value, PgTable));
  return tables.flatMap((table) => {
    const { name, columns } = getTableConfig(table);
    return columns.map((column) => ({
      table: name,
      column: column.name,
      type: column.getSQLType().replace("bigserial", "bigint"),
      required: column.notNull,
    }));
  });
}

describe.each(databases())("the declared schema on $name", ({ create }) => {
  let database: TestDatabase;
  afterEach(() => database.dispose());

  it("is what the migrations make, column by column, but for those that PostgreSQL generates", async () => {
    database = await create();

    const made = await database.db.query<Column>(`
      SELECT relname AS table, attname AS column, attnotnull AS required,
        replace(replace(format_type(atttypid, atttypmod), 'character varying', 'varchar'), ' without time zone', '') AS type
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
       WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         AND relname <> 'midctl_migration'`);

    expect(sort(made)).toEqual(sort(declaredColumns()));
  });
});

function sort(columns: Column[]): Column[] {
  return columns.sort((a, b) => `${a.table}.${a.column}`.localeCompare(`${b.table}.${b.column}`));
}
