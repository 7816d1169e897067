import { MidctlError } from "../domain/errors.ts";
import type { OwnTx } from "./database.ts";
import { hasTable } from "./history.ts";
import { type IdentityAdoption, planIdentities } from "./host-identity.ts";
import type { Migration } from "./migrations.ts";

const BIG = /^bigint$/;
const NUMBER = /^(bigint|integer)$/;
const TEXT = /^(character varying|text)/;
/** Without zone, and UTC: with one, a host's session in another zone would shift what our triggers write. */
const MOMENT = /^timestamp(\(\d\))? without time zone$/;

/** What we read and write of a host's tables, by the types that its rows then hold. */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  agent_token: {
    id: NUMBER,
    publicId: TEXT,
    workspaceId: NUMBER,
    name: TEXT,
    tokenPrefix: TEXT,
    tokenHash: TEXT,
    scopes: TEXT,
    createdAt: MOMENT,
    expiresAt: MOMENT,
    lastUsedAt: MOMENT,
    revokedAt: MOMENT,
    machineIdentityId: BIG,
  },
  agent_audit_event: {
    id: NUMBER,
    publicId: TEXT,
    workspaceId: NUMBER,
    agentTokenId: NUMBER,
    action: TEXT,
    createdAt: MOMENT,
    machineIdentityId: BIG,
  },
};
const ADDED = "machineIdentityId";
/** Those that are added to, or made where they are not. */
export const HOST_TABLES = [...Object.keys(EXPECTED), "machine_identity", "machine_identity_credential"];

/** The comment on what midctl made where a host might have had its own: a rollback takes that away again. */
export const MADE_BY_US = "Made by midctl";

/** Marks those of the host's tables that were not there before. */
export async function markOwn(tx: OwnTx, before: readonly string[]): Promise<void> {
  for (const table of HOST_TABLES) {
    if (before.includes(table) || !(await hasTable(tx, table))) continue;
    await tx.script(`COMMENT ON TABLE ${table} IS '${MADE_BY_US}'`);
  }
}

/** What there was before us. */
export interface HostFound {
  readonly tables: readonly string[];
  /** How its own machine identities are taken in; null where it has none. */
  readonly adoption: IdentityAdoption | null;
}

/**
 * Whether a host's own tables, where it has any, are such as we can add to. Changes nothing.
 * @throws MidctlError `schema_version`, naming each difference
 */
export async function checkHost(tx: OwnTx, known: readonly Migration[]): Promise<HostFound> {
  const rows = await tx.query<{ table: string; kind: string; columns: Readonly<Record<string, string>> }>(
    `SELECT c.relname AS "table", c.relkind::text AS kind,
            (SELECT coalesce(json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{}')
               FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
       FROM pg_class c
      WHERE c.oid IN (to_regclass('agent_token'), to_regclass('agent_audit_event'),
                      to_regclass('machine_identity'), to_regclass('machine_identity_credential'))
      ORDER BY c.relname`,
  );
  const differences = rows.flatMap(({ table, kind, columns }) => {
    if (kind !== "r") return [`${table} is no plain table`];
    return Object.entries(EXPECTED[table] ?? {}).flatMap(([column, type]) => {
      const found = columns[column];
      if (found === undefined) return column === ADDED ? [] : [`${table} has no column "${column}"`];
      return type.test(found) ? [] : [`${table}."${column}" is ${found}`];
    });
  });
  const tables = rows.map(({ table }) => table);
  if (differences.length === 0) {
    const identities = await planIdentities(tx, known, tables);
    if (identities.differences.length === 0) return { tables, adoption: identities.adoption };
    differences.push(...identities.differences);
  }
  throw refuseHost(differences);
}

export function refuseHost(differences: readonly string[]): MidctlError {
  return new MidctlError(
    "schema_version",
    `This database has tables of an application that midctl cannot add to: ${differences.join("; ")}. Nothing was changed.`,
    {
      hint: "Mend them in the application, or give midctl a database or schema of its own (search_path).",
      details: { differences },
    },
  );
}
