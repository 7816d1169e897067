import type { Column, Constraint, Index, TableShape } from "./host-shape.ts";

/** What scripts and we lean on from the first (SPEC §2): no row of a host's says it, if not these. */
const BASE: Readonly<Record<string, readonly string[]>> = {
  machine_identity: ["id", "publicId", "workspaceId", "slug", "status", "revokedAt"],
  machine_identity_credential: [
    "id",
    "publicId",
    "machineIdentityId",
    "name",
    "status",
    "expiresAt",
    "revokedAt",
  ],
};

/** A unique key with one of these in it never stops a row of ours. */
const UNIQUE: Readonly<Record<string, readonly string[]>> = {
  machine_identity: ["id", "publicId", "slug"],
  machine_identity_credential: ["id", "publicId", "tokenHash"],
};

/** Foreign keys on these are midctl's to say: a workspace goes without its identities, an identity never. */
const KEYS = ["workspaceId", "machineIdentityId", "parentId", "replacesId"];

/** Every difference between a host's table and ours that adding does not mend, each in words. */
export function nameDifferences(table: string, host: TableShape, ours: TableShape): string[] {
  return [
    ...columnDifferences(table, host, ours),
    ...host.constraints.flatMap((constraint) => constraintDifference(table, constraint, host, ours) ?? []),
    ...host.indexes.flatMap((index) => indexDifference(table, index, host, ours) ?? []),
  ];
}

function columnDifferences(table: string, host: TableShape, ours: TableShape): string[] {
  const missing = (BASE[table] ?? [])
    .filter((name) => !host.columns.has(name))
    .map((name) => `${table} has no column "${name}"`);
  const others = [...host.columns.values()].flatMap((column) => {
    const wanted = ours.columns.get(column.name);
    const place = `${table}."${column.name}"`;
    if (wanted === undefined) {
      return column.notNull && column.default === null && !column.generated
        ? [`${place} must be filled, which midctl does not know how to`]
        : [];
    }
    if (!fits(column.type, wanted.type)) return [`${place} is ${column.type}, not ${wanted.type}`];
    if (column.name === "id") {
      return column.default === null && !column.generated ? [`${place} does not fill itself`] : [];
    }
    return column.generated ? [`${place} is generated`] : [];
  });
  const keyed = host.constraints.some(({ kind, columns }) => kind === "p" && columns.join() === "id");
  return [...missing, ...others, ...(keyed ? [] : [`the primary key of ${table} is not "id"`])];
}

/** The same, or text that is wider: checks of ours hold the length. */
function fits(found: string, wanted: string): boolean {
  if (found === wanted) return true;
  const width = /^character varying\((\d+)\)$/;
  const needed = width.exec(wanted)?.[1];
  if (needed !== undefined) {
    const given = width.exec(found)?.[1];
    return (
      found === "text" ||
      found === "character varying" ||
      (given !== undefined && Number(given) >= Number(needed))
    );
  }
  return wanted === "timestamp without time zone" && /^timestamp\([3-6]\) without time zone$/.test(found);
}

function constraintDifference(
  table: string,
  constraint: Constraint,
  host: TableShape,
  ours: TableShape,
): string | null {
  const { name, kind, columns } = constraint;
  if (isOurs(constraint, ours.constraints) || kind === "p") return null;
  if (ours.constraints.some((one) => one.name === name) && !replaces(constraint, ours)) {
    return `${table} has a constraint of its own named ${name}`;
  }
  const shared = columns.filter((column) => ours.columns.has(column));
  switch (kind) {
    case "x":
      return `${table} has the exclusion constraint ${name}`;
    case "c":
      return shared.length === 0
        ? null
        : `${table} has the check ${name} on ${shared.map((column) => `"${column}"`).join(", ")}, which midctl's rows may break`;
    case "f": {
      const change = foreignKeyChange(constraint, ours);
      if (change === "stray")
        return `${table} has the foreign key ${name} on ${shared.map((one) => `"${one}"`).join(", ")}`;
      const fixed = columns.filter((column) => host.columns.get(column)?.notNull === true);
      return change === "loosen" && fixed.length > 0
        ? `${table}."${fixed[0]}" must be filled and goes with ${constraint.references}, which credentials and identities do not`
        : null;
    }
    default:
      return null; // its index says it
  }
}

function replaces(constraint: Constraint, ours: TableShape): boolean {
  return constraint.kind === "f" && foreignKeyChange(constraint, ours) === "drop";
}

function isOurs(
  one: { readonly name: string; readonly definition: string },
  ours: readonly { readonly name: string; readonly definition: string }[],
): boolean {
  return ours.some(({ name, definition }) => name === one.name && definition === one.definition);
}

/**
 * What becomes of a host's foreign key. Rows of identities and credentials are never deleted (SPEC §3), so a key that would
 * delete them, or stop a token or workspace from going, gives way: ours takes its place, or one that lets go of the row.
 * `stray`: it stands on a column that is ours, for no reason of ours.
 */
export function foreignKeyChange(
  constraint: Constraint,
  ours: TableShape,
): "keep" | "drop" | "loosen" | "stray" {
  if (isOurs(constraint, ours.constraints)) return "keep";
  if (constraint.columns.some((column) => ours.columns.has(column))) {
    return constraint.columns.length === 1 && KEYS.includes(constraint.columns[0] ?? "") ? "drop" : "stray";
  }
  if (constraint.onDelete === "c") return "loosen";
  const goes = constraint.references === "workspace" || constraint.references === "agent_token";
  return goes && (constraint.onDelete === "a" || constraint.onDelete === "r") ? "loosen" : "keep";
}

/** A foreign key's definition that empties the column instead. */
export function loosen(definition: string): string {
  return definition
    .replace(/ ON DELETE (?:CASCADE|RESTRICT|SET DEFAULT)/, "")
    .replace(
      / REFERENCES .+?\((?:"(?:[^"]|"")*"|[^)"])*\)(?: MATCH \w+)?(?: ON UPDATE (?:CASCADE|RESTRICT|SET NULL|SET DEFAULT))?/,
      "$& ON DELETE SET NULL",
    );
}

function indexDifference(table: string, index: Index, host: TableShape, ours: TableShape): string | null {
  if (isOurs(index, ours.indexes)) return null;
  if (host.constraints.some(({ name, kind }) => name === index.name && kind === "p")) return null;
  if (ours.indexes.some(({ name }) => name === index.name)) {
    return `${table} has an index of its own named ${index.name}`;
  }
  if (!index.unique) return null;
  const free = (name: string): boolean => {
    const column: Column | undefined = host.columns.get(name);
    return !ours.columns.has(name) && index.nullsDistinct && column?.default === null && !column.generated;
  };
  const harmless = index.columns.some((name) => UNIQUE[table]?.includes(name) === true || free(name));
  return harmless ? null : `${table} has the unique index ${index.name}, which midctl's rows may break`;
}
