import { MidctlError } from "../domain/errors.ts";
import type { Tx } from "./database.ts";
import { HISTORY, hasTable } from "./history.ts";
import { HOST_TABLES } from "./host.ts";
import type { Migration } from "./migrations.ts";

/** What a role cannot do, and whose it is. */
interface Lack {
  readonly role: string;
  readonly object: string;
  readonly owner: string;
  /** Rights that would do; null where nothing but ownership does. */
  readonly rights: readonly string[] | null;
}

/**
 * Whether what is still to be done may be done by whoever is to do it. Before the first statement: a run that ended at the first
 * of a host's tables would leave a schema that nobody can complete.
 * @param asker who connected: what is built beside the host is built as that user, all else as the schema's owner
 * @throws MidctlError `denied`, naming each object, whose it is, and as whom to run this
 */
export async function requireRights(tx: Tx, missing: readonly Migration[], asker: string): Promise<void> {
  if (missing.length === 0) return;
  const [me] = await tx.query<{ role: string }>("SELECT current_user::text AS role");
  const role = me?.role ?? asker;
  const has = (manner: Migration["manner"]) => missing.some((migration) => migration.manner === manner);
  const lacks = [
    ...(await readSchemaLack(tx, role)),
    ...(await readTableLacks(tx, role, [HISTORY, ...(has("host") ? HOST_TABLES : [])])),
    ...(has("host") ? await readWorkspaceLack(tx, role) : []),
    ...(asker !== role && has("concurrently") ? await readTableLacks(tx, asker, HOST_TABLES) : []),
  ];
  const [first] = lacks;
  if (first === undefined) return;
  // The schema's owner himself: whoever completed it would have to be another.
  const stuck = (await hasTable(tx, HISTORY)) && first.role === role && !lacks.some(isHistory);
  throw new MidctlError("denied", `${describe(lacks, first, asker)} Nothing was changed.`, {
    hint: wayOut(lacks, stuck ? role : null),
    details: { role: first.role, objects: lacks.map(({ object, owner }) => ({ object, owner })) },
  });
}

const isHistory = ({ object }: Lack) => object === HISTORY;

function describe(lacks: readonly Lack[], { role }: Lack, asker: string): string {
  const said = lacks
    .filter((lack) => lack.role === role)
    .map(({ object, owner, rights }) =>
      rights === null
        ? `${object} belongs to ${owner}`
        : `${object} belongs to ${owner} and gives no ${rights.join(", ")}`,
    );
  const who = role === asker ? role : `${role}, the owner of midctl's schema (you are ${asker})`;
  return `The schema cannot be made by ${who}: ${said.join("; ")}.`;
}

function wayOut(lacks: readonly Lack[], stuck: string | null): string {
  const owners = [...new Set(lacks.map(({ owner }) => owner))].join(" and ");
  const run = `midctl db migrate as ${owners}, or as a member that inherits from ${owners}`;
  return stuck === null
    ? `Run ${run}.`
    : `Run midctl db rollback, as ${stuck} or a superuser: it takes away the part that is there. Then ${run}.`;
}

async function readSchemaLack(tx: Tx, role: string): Promise<Lack[]> {
  const rows = await tx.query<{ schema: string; owner: string }>(
    `SELECT n.nspname::text AS schema, o.rolname::text AS owner FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
      WHERE n.nspname = current_schema() AND NOT has_schema_privilege(n.oid, 'CREATE')`,
  );
  return rows.map(({ schema, owner }) => ({
    role,
    object: `the schema ${schema}`,
    owner,
    rights: ["CREATE"],
  }));
}

async function readTableLacks(tx: Tx, role: string, tables: readonly string[]): Promise<Lack[]> {
  const rows = await tx.query<{ object: string; owner: string }>(
    `SELECT c.relname::text AS object, o.rolname::text AS owner
       FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) JOIN pg_class c ON c.oid = to_regclass(u.name)
       JOIN pg_roles o ON o.oid = c.relowner
      WHERE NOT pg_has_role($2::text, c.relowner, 'USAGE') ORDER BY u.n`,
    [`{${tables.join(",")}}`, role],
  );
  return rows.map((row) => ({ role, ...row, rights: null }));
}

/** Beside triggers of ours it gets nothing, so that rights do; it is looked into by its key, and locked. */
async function readWorkspaceLack(tx: Tx, role: string): Promise<Lack[]> {
  const rows = await tx.query<{ owner: string; rights: string[] }>(
    `SELECT o.rolname::text AS owner, json_agg(u.name ORDER BY u.n) AS rights
       FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner, unnest('{SELECT,UPDATE,TRIGGER}'::text[]) WITH ORDINALITY AS u(name, n)
      WHERE c.oid = to_regclass('workspace') AND NOT has_table_privilege(c.oid, u.name) GROUP BY 1`,
  );
  return rows.map((row) => ({ role, object: "workspace", ...row }));
}
