import type { Tx } from "../db/database.ts";
import { FUNCTIONS, keyOf, type Right, type Role, rightsOf, TABLES } from "../db/rights.ts";

/** What this connection may do, against what its roles need. */
export interface Standing {
  /** As the server checks rights. */
  readonly name: string;
  readonly superuser: boolean;
  /** Where our tables are, quoted. */
  readonly schema: string;
  /** Whether the schema is its own, so that it can switch guards off. */
  readonly owner: boolean;
  /** Given by `db grant`, to it or to a role that it is a member of. */
  readonly roles: readonly Role[];
  /** Who, beside the owner, may make objects in the schema, and so have functions that run as the owner call his own. */
  readonly creators: readonly string[];
  /** Rights beyond those, as `UPDATE (slug) on machine_identity`. */
  readonly excess: readonly string[];
  /** Rights that those need and it lacks. */
  readonly missing: readonly string[];
}

/** Privileges that hold for a table, and those that hold for a column of it too. */
const OF_TABLE = ["DELETE", "TRUNCATE", "TRIGGER"];
const OF_COLUMN = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

export async function readStanding(tx: Tx): Promise<Standing> {
  const [me] = await tx.query<
    Pick<Standing, "name" | "superuser" | "schema" | "owner"> & { roles: Role[] | null }
  >(
    `SELECT r.rolname AS name, r.rolsuper AS superuser, c.relnamespace::regnamespace::text AS schema, pg_has_role(c.relowner, 'usage') AS owner,
            (SELECT json_agg(DISTINCT g.role) FROM (SELECT jsonb_array_elements_text(g.roles) AS role FROM midctl_grant g
              JOIN pg_roles other ON other.rolname = g.name
                OR other.oid = g.role AND NOT EXISTS (SELECT FROM pg_roles o WHERE o.rolname = g.name) WHERE pg_has_role(other.oid, 'usage')) g) AS roles
       FROM pg_roles r, pg_class c WHERE r.rolname = current_user AND c.oid = 'midctl_migration'::regclass`,
  );
  const name = me?.name ?? "";
  const schema = me?.schema ?? "";
  const [superuser, owner, roles] = [me?.superuser === true, me?.owner === true, me?.roles ?? []];
  const creators = await readCreators(tx);
  if (superuser || owner) return { name, superuser, schema, owner, roles, creators, excess: [], missing: [] };
  const held = await readHeld(tx);
  const wanted = await expand(tx, rightsOf(roles));
  return {
    name,
    superuser,
    schema,
    owner,
    roles,
    creators,
    excess: spell([...held].filter(([key]) => !wanted.has(key)).map(([, right]) => right)),
    missing: spell([...wanted].filter(([key]) => !held.has(key)).map(([, right]) => right)),
  };
}

async function readCreators(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `SELECT DISTINCT coalesce(r.rolname, 'PUBLIC') AS name
       FROM pg_namespace n JOIN pg_class c ON c.oid = 'midctl_migration'::regclass AND n.oid = c.relnamespace
            CROSS JOIN aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
      WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
        AND (r.oid IS NULL OR NOT r.rolsuper AND NOT pg_has_role(r.oid, c.relowner, 'usage'))
      ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

/** Whatever this connection may do with what is ours, by whichever way it came by the right. */
async function readHeld(tx: Tx): Promise<Map<string, Right>> {
  const rows = await tx.query<Right>(
    `WITH tab AS (SELECT name, to_regclass(name) AS oid FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL)
     SELECT 'table' AS kind, t.name AS object, p AS privilege, NULL::text AS "column"
       FROM tab t, unnest($2::text[]) p WHERE has_table_privilege(t.oid, p)
     UNION ALL
     SELECT 'table', t.name, p, a.attname FROM tab t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped,
            unnest($3::text[]) p WHERE has_column_privilege(t.oid, a.attnum, p)
     UNION ALL
     SELECT 'function', f, 'EXECUTE', NULL FROM unnest($4::text[]) f WHERE has_function_privilege(f, 'EXECUTE')`,
    [list(TABLES), list(OF_TABLE), list(OF_COLUMN), list(FUNCTIONS.map((name) => `"${name}"`))],
  );
  return byKey(rows);
}

/** Rights on a table as rights on each of its columns; what is no right on ours alone is left out. */
async function expand(tx: Tx, rights: readonly Right[]): Promise<Map<string, Right>> {
  const columns = await tx.query<{ name: string; columns: string[] }>(
    `SELECT name, (SELECT json_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = to_regclass(name) AND a.attnum > 0 AND NOT a.attisdropped) AS columns
       FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL`,
    [list(TABLES)],
  );
  const of = new Map(columns.map((table) => [table.name, table.columns]));
  return byKey(
    rights
      .filter(({ kind }) => kind === "table" || kind === "function")
      .flatMap((right) =>
        right.kind === "table" && right.column === null && OF_COLUMN.includes(right.privilege)
          ? (of.get(right.object) ?? []).map((column) => ({ ...right, column }))
          : [right],
      ),
  );
}

function byKey(rights: readonly Right[]): Map<string, Right> {
  return new Map(rights.map((right) => [keyOf(right), right]));
}

/** Columns of one table together; all that they may be on is said once. */
function spell(rights: readonly Right[]): string[] {
  const together = new Map<string, string[]>();
  for (const { privilege, object, column } of rights) {
    const columns = together.get(`${privilege}|${object}`) ?? [];
    if (column !== null) columns.push(column);
    together.set(`${privilege}|${object}`, columns);
  }
  return [...together].map(([key, columns]) => {
    const [privilege, object] = key.split("|");
    return `${privilege}${columns.length === 0 ? "" : ` (${columns.join(", ")})`} on ${object}`;
  });
}

function list(words: readonly string[]): string {
  return `{${words.join(",")}}`;
}
