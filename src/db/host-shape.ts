import type { OwnTx, Tx } from "./database.ts";
import type { Statement } from "./statements.ts";

/** What a table is made of, as the catalogue spells it. */
export interface TableShape {
  readonly columns: ReadonlyMap<string, Column>;
  readonly constraints: readonly Constraint[];
  readonly indexes: readonly Index[];
}

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** Of the constraint, since PostgreSQL 18. */
  readonly notNullName: string | null;
  readonly default: string | null;
  /** An identity column, or one that is computed. */
  readonly generated: boolean;
}

/** Keys and checks; NOT NULL is its column's, UNIQUE its index's too. */
export interface Constraint {
  readonly name: string;
  readonly kind: "c" | "f" | "p" | "u" | "x";
  readonly definition: string;
  readonly columns: readonly string[];
  /** Of a foreign key: the other table, and what a delete there does (`pg_constraint.confdeltype`). */
  readonly references: string | null;
  readonly onDelete: string;
}

export interface Index {
  readonly name: string;
  readonly definition: string;
  readonly unique: boolean;
  /** Whether a constraint made it. */
  readonly constraint: boolean;
  readonly nullsDistinct: boolean;
  /** Of its key; an expression is left out. */
  readonly columns: readonly string[];
}

/** The shape of a table that the search path finds, as seen along that path. */
export async function readShape(tx: Tx, table: string): Promise<TableShape> {
  const [row] = await tx.query<{ columns: Column[]; constraints: Constraint[]; indexes: Index[] }>(
    `SELECT
       (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
                 'notNullName', (SELECT n.conname FROM pg_constraint n WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]),
                 'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attidentity <> '' OR a.attgenerated <> '') ORDER BY a.attnum)
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT coalesce(json_agg(json_build_object('name', c.conname, 'kind', c.contype, 'definition', pg_get_constraintdef(c.oid),
                 'columns', (SELECT coalesce(json_agg(a.attname), '[]') FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)),
                 'references', nullif(c.confrelid, 0)::regclass::text, 'onDelete', c.confdeltype) ORDER BY c.contype = 'f', c.conname), '[]')
          FROM pg_constraint c WHERE c.conrelid = r.oid AND c.contype IN ('c', 'f', 'p', 'u', 'x')) AS constraints,
       (SELECT coalesce(json_agg(json_build_object('name', ic.relname, 'definition', pg_get_indexdef(i.indexrelid, 0, true), 'unique', i.indisunique,
                 'constraint', EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')),
                 'nullsDistinct', NOT i.indnullsnotdistinct,
                 'columns', (SELECT coalesce(json_agg(a.attname), '[]') FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))) ORDER BY ic.relname), '[]')
          FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = r.oid) AS indexes
     FROM (SELECT to_regclass($1)::oid AS oid) r`,
    [table],
  );
  if (row === undefined) throw new Error("the catalogue gave no answer");
  return { ...row, columns: new Map(row.columns.map((column) => [column.name, column])) };
}

/**
 * The shape that a migration gives to tables, by having it made under a temporary name: words of the catalogue compare with
 * words of the catalogue. Leaves nothing behind.
 */
export async function readDraft<Table extends string>(
  tx: OwnTx,
  statements: readonly Statement[],
  tables: readonly Table[],
): Promise<ReadonlyMap<Table, TableShape>> {
  const [path] = await tx.query<{ path: string }>("SELECT current_setting('search_path') AS path");
  await tx.query("SELECT set_config('search_path', 'pg_temp', true)");
  await tx.script(statements.map(({ sql }) => sql).join("\n;\n"));
  const shapes = new Map<Table, TableShape>();
  for (const table of tables) shapes.set(table, await readShape(tx, table));
  await tx.script(`DROP TABLE ${tables.join(", ")}`);
  await tx.query("SELECT set_config('search_path', $1::text, true)", [path?.path ?? ""]);
  return shapes;
}
