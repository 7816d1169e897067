import { MidctlError } from "../domain/errors.ts";
import type { Tx } from "./database.ts";
import { keyOf, NUMBERED_TABLES, type Right, type Role, rightsOf, SHARED_TABLES } from "./rights.ts";

/** What was done to a database role's rights, as SQL. */
export interface Regranted {
  readonly changed: boolean;
  readonly roles: readonly Role[];
  readonly statements: readonly string[];
}

interface DatabaseRole {
  readonly name: string;
  readonly quoted: string;
  readonly superuser: boolean;
  readonly bypasses: boolean;
  readonly schema: string;
  /** Whether it may make objects in the schema. */
  readonly creates: boolean;
  readonly owner: string;
  readonly ownsSchema: boolean;
  readonly ownerIsSuperuser: boolean;
}

/**
 * Gives a database role exactly the rights of these roles, beside those that it had from elsewhere: what an earlier grant
 * added and these do not need is taken away again. Remembers both. Idempotent.
 * @throws MidctlError `not_found` for a role that is not there, `conflict` for one that has all rights anyway
 */
export async function regrant(
  tx: Tx,
  name: string,
  decide: (roles: readonly Role[]) => readonly Role[],
): Promise<Regranted> {
  await followRenamed(tx);
  const [known] = await tx.query<{ roles: Role[]; added: Right[] }>(
    "SELECT roles, added FROM midctl_grant WHERE name = $1 FOR UPDATE",
    [name],
  );
  const before = known?.roles ?? [];
  const roles = [...new Set(decide(before))].sort();
  const role = await requireRole(tx, name, roles);
  const wanted = [...rightsOf(roles), ...(await policiesFor(tx, role, roles))];
  const held = await readHeld(tx, role);
  const needed = new Set(wanted.map(keyOf));
  const missing = wanted.filter((right) => !isHeld(held, right));
  const surplus = (known?.added ?? []).filter((right) => !needed.has(keyOf(right)));
  const taken = surplus.filter((right) => isHeld(held, right));
  const statements = [
    ...(await spell(tx, role, "REVOKE", taken)),
    ...(await spell(tx, role, "GRANT", missing)),
  ];
  for (const statement of statements) await tx.query(statement);
  const same = before.length === roles.length && before.every((one) => roles.includes(one));
  if (same && statements.length === 0) return { changed: false, roles, statements };
  const added = [...(known?.added ?? []).filter((right) => needed.has(keyOf(right))), ...missing];
  await tx.query(
    `INSERT INTO midctl_grant (name, role, roles, added) SELECT rolname, oid, $2::text::jsonb, $3::text::jsonb FROM pg_roles WHERE rolname = $1
     ON CONFLICT (name) DO UPDATE SET role = excluded.role, roles = excluded.roles, added = excluded.added`,
    [
      name,
      JSON.stringify(roles),
      JSON.stringify([...new Map(added.map((right) => [keyOf(right), right])).values()]),
    ],
  );
  return { changed: true, roles, statements };
}

/** A database role may have been renamed since: it is the same one. After a restore elsewhere its name counts. */
async function followRenamed(tx: Tx): Promise<void> {
  await tx.query(
    `UPDATE midctl_grant g SET name = r.rolname FROM pg_roles r
      WHERE r.oid = g.role AND r.rolname <> g.name AND NOT EXISTS (SELECT FROM pg_roles o WHERE o.rolname = g.name)`,
  );
}

/**
 * Takes away what was ever added, as before a rollback; of database roles that are there no more, nothing is left. A
 * migrator stays a member of the owner's role: that is nothing of this database's, and mostly not the owner's to end.
 */
export async function withdrawAll(tx: Tx): Promise<void> {
  await followRenamed(tx);
  const grants = await tx.query<{ name: string; added: Right[] }>(
    "SELECT name, added FROM midctl_grant JOIN pg_roles ON rolname = name ORDER BY name",
  );
  for (const { name, added } of grants) {
    const role = await readRole(tx, name);
    const held = await readHeld(tx, role);
    const statements = await spell(
      tx,
      role,
      "REVOKE",
      added.filter((right) => right.kind !== "membership" && isHeld(held, right)),
    );
    for (const statement of statements) await tx.query(statement);
  }
}

async function requireRole(tx: Tx, name: string, roles: readonly Role[]): Promise<DatabaseRole> {
  const standing = await readRole(tx, name);
  if (roles.length === 0) return standing;
  if (standing.superuser || standing.ownsSchema) {
    throw new MidctlError(
      "conflict",
      `${name} ${standing.superuser ? "is a superuser" : "owns the schema"} and may do everything anyway; nothing was granted.`,
      { hint: "Make a role that owns nothing: CREATE ROLE name LOGIN" },
    );
  }
  if (standing.creates && roles.some((role) => role !== "migrator")) {
    throw new MidctlError(
      "conflict",
      `${name} may make objects in the schema, and so have functions that run as its owner call its own; nothing was granted.`,
      {
        hint: `Take that away first: REVOKE CREATE ON SCHEMA ${standing.schema} FROM PUBLIC, ${standing.quoted}`,
      },
    );
  }
  if (roles.includes("migrator") && standing.ownerIsSuperuser) {
    throw new MidctlError(
      "conflict",
      `The schema belongs to the superuser ${standing.owner}, and a member of it could do everything; nothing was granted.`,
      {
        hint: "Let midctl db migrate be run by a role that is no superuser, which then owns what it makes.",
      },
    );
  }
  return standing;
}

async function readRole(tx: Tx, name: string): Promise<DatabaseRole> {
  const [row] = await tx.query<DatabaseRole>(
    `SELECT r.rolname AS name, quote_ident(r.rolname) AS quoted, r.rolsuper AS superuser, r.rolbypassrls AS bypasses,
            quote_ident(current_schema()) AS schema, has_schema_privilege(r.oid, current_schema(), 'CREATE') AS creates,
            quote_ident(o.rolname) AS owner, r.oid = o.oid AS "ownsSchema", o.rolsuper AS "ownerIsSuperuser"
       FROM pg_roles r, pg_class c JOIN pg_roles o ON o.oid = c.relowner
      WHERE r.rolname = $1 AND c.oid = 'midctl_migration'::regclass`,
    [name],
  );
  if (row !== undefined) return row;
  throw new MidctlError("not_found", `There is no database role ${name}; nothing was granted.`, {
    hint: `Make it first, with a password or certificate of its own: CREATE ROLE ${name} LOGIN`,
  });
}

const WRITTEN = SHARED_TABLES.filter((table) => table !== "agent_audit_event");

/** Where a table has row-level security, rights alone show no rows. Each command has a policy of its own, as it is needed. */
async function policiesFor(tx: Tx, role: DatabaseRole, roles: readonly Role[]): Promise<Right[]> {
  if (role.bypasses || roles.every((one) => one === "migrator")) return [];
  const rows = await tx.query<{ object: string }>(
    `SELECT c.relname AS object FROM pg_class c
      WHERE c.relrowsecurity AND c.oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) ORDER BY 1`,
    [`{${SHARED_TABLES.join(",")}}`],
  );
  return rows.flatMap(({ object }) =>
    (roles.includes("operator") && WRITTEN.includes(object)
      ? ["SELECT", "INSERT", "UPDATE"]
      : ["SELECT"]
    ).map((privilege) => ({ kind: "policy" as const, object, privilege, column: null })),
  );
}

/** Rights given to this very role: not what it has by membership, PUBLIC or ownership. */
async function readHeld(tx: Tx, { name }: DatabaseRole): Promise<ReadonlySet<string>> {
  const rows = await tx.query<Right>(
    `WITH me AS (SELECT oid FROM pg_roles WHERE rolname = $1), here AS (SELECT quote_ident(current_schema())::regnamespace AS oid)
     SELECT 'table' AS kind, c.relname::text AS object, a.privilege_type AS privilege, NULL::text AS "column"
       FROM pg_class c, here, me, aclexplode(c.relacl) a WHERE c.relnamespace = here.oid AND c.relkind = 'r' AND a.grantee = me.oid
     UNION ALL
     SELECT 'table', c.relname, a.privilege_type, t.attname
       FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped, here, me, aclexplode(t.attacl) a
      WHERE c.relnamespace = here.oid AND a.grantee = me.oid
     UNION ALL
     SELECT 'sequence', t.name, a.privilege_type, NULL
       FROM unnest($2::text[]) AS t(name) JOIN pg_class c ON c.oid = pg_get_serial_sequence(t.name, 'id')::regclass, me, aclexplode(c.relacl) a
      WHERE a.grantee = me.oid
     UNION ALL
     SELECT 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', a.privilege_type, NULL
       FROM pg_proc p, here, me, aclexplode(p.proacl) a WHERE p.pronamespace = here.oid AND a.grantee = me.oid
     UNION ALL
     SELECT 'schema', '', a.privilege_type, NULL FROM pg_namespace n, here, me, aclexplode(n.nspacl) a WHERE n.oid = here.oid AND a.grantee = me.oid
     UNION ALL
     SELECT 'policy', c.relname, upper(split_part(p.polname, '_', 2)), NULL FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid, me
      WHERE c.relnamespace = (SELECT oid FROM here) AND p.polname LIKE 'midctl\\_%' AND me.oid = ANY (p.polroles)
     UNION ALL
     SELECT 'membership', '', 'MEMBER', NULL FROM pg_auth_members m, me, pg_class c
      WHERE m.member = me.oid AND c.oid = 'midctl_migration'::regclass AND m.roleid = c.relowner`,
    [name, `{${NUMBERED_TABLES.join(",")}}`],
  );
  return new Set(
    rows.map((right) => keyOf(right.kind === "function" ? { ...right, object: bare(right.object) } : right)),
  );
}

/** `f(ids text[], hashes text[])` as `f(text[], text[])`. */
function bare(signature: string): string {
  return signature.replace(/([(,] ?)\w+ (?=[a-z])/g, "$1");
}

/** A right on the table is one on each column. */
function isHeld(held: ReadonlySet<string>, right: Right): boolean {
  return held.has(keyOf(right)) || (right.column !== null && held.has(keyOf({ ...right, column: null })));
}

/** As SQL: columns of one table together. */
async function spell(
  tx: Tx,
  role: DatabaseRole,
  verb: "GRANT" | "REVOKE",
  rights: readonly Right[],
): Promise<string[]> {
  const word = verb === "GRANT" ? "TO" : "FROM";
  const together = new Map<string, Right[]>();
  for (const right of rights) {
    const key = keyOf({ ...right, column: right.column === null ? null : "*" });
    together.set(key, [...(together.get(key) ?? []), right]);
  }
  const statements: string[] = [];
  for (const [right, ...others] of together.values()) {
    if (right === undefined) continue;
    const { kind, object, privilege, column } = right;
    if (kind === "policy") {
      statements.push(...(await spellPolicy(tx, role, verb, right)));
    } else if (kind === "membership") {
      statements.push(`${verb} ${role.owner} ${word} ${role.quoted}`);
    } else {
      const columns =
        column === null ? "" : ` (${[right, ...others].map((one) => `"${one.column}"`).join(", ")})`;
      const place = await placeOf(tx, kind, object);
      if (place !== null)
        statements.push(`${verb} ${privilege}${columns} ON ${place} ${word} ${role.quoted}`);
    }
  }
  return statements;
}

async function placeOf(tx: Tx, kind: Right["kind"], object: string): Promise<string | null> {
  if (kind === "table" || kind === "function") return `${kind.toUpperCase()} ${object}`;
  const [row] = await tx.query<{ place: string | null }>(
    kind === "schema"
      ? "SELECT 'SCHEMA ' || quote_ident(current_schema()) AS place"
      : "SELECT 'SEQUENCE ' || pg_get_serial_sequence($1, 'id') AS place",
    kind === "schema" ? [] : [object],
  );
  return row?.place ?? null;
}

const CONDITIONS: Readonly<Record<string, string>> = {
  SELECT: "USING (true)",
  INSERT: "WITH CHECK (true)",
  UPDATE: "USING (true) WITH CHECK (true)",
};

/** By a name that is short whatever the role's; taken away by whose it is, for that may have changed. */
async function spellPolicy(
  tx: Tx,
  { name, quoted }: DatabaseRole,
  verb: "GRANT" | "REVOKE",
  { object, privilege }: Right,
): Promise<string[]> {
  const command = privilege.toLowerCase();
  if (verb === "GRANT") {
    const [row] = await tx.query<{ policy: string }>("SELECT $1 || left(md5($2), 12) AS policy", [
      `midctl_${command}_`,
      name,
    ]);
    return [
      `CREATE POLICY ${row?.policy} ON ${object} FOR ${privilege} TO ${quoted} ${CONDITIONS[privilege]}`,
    ];
  }
  const rows = await tx.query<{ policy: string }>(
    `SELECT quote_ident(polname) AS policy FROM pg_policy, pg_roles r
      WHERE polrelid = to_regclass($1) AND polname LIKE $2 AND r.rolname = $3 AND r.oid = ANY (polroles)`,
    [object, `midctl\\_${command}\\_%`, name],
  );
  return rows.map(({ policy }) => `DROP POLICY ${policy} ON ${object}`);
}
