import { isScopeList } from "../domain/scope.ts";
import { quote } from "../domain/visible.ts";
import type { Tx } from "./database.ts";
import type { TableShape } from "./host-shape.ts";

/** The tables of an application that concern machine identities, as far as it has them. */
export interface HostTables {
  readonly identity: TableShape | null;
  readonly credential: TableShape | null;
  /** Those of agent_token and agent_audit_event that have a `machineIdentityId`. */
  readonly attributed: readonly string[];
  /** Columns of its users and workspaces; empty without such tables. */
  readonly users: readonly string[];
  readonly workspaces: readonly string[];
}

const SLUG = "'^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'";
const PUBLIC_ID = "'^[0-9A-Za-z]{12}$'";
const NOW = `(clock_timestamp() AT TIME ZONE 'UTC')`;
const NAME = `coalesce(c.name, 'default')`;

/** A credential with its token and identity, under the names `c`, `t` and `i`. */
const CREDENTIALS = `machine_identity_credential c LEFT JOIN agent_token t ON t."publicId" = c."publicId"
  LEFT JOIN machine_identity i ON i.id = c."machineIdentityId"`;

/** What a row is known by, never its hash. */
const EXAMPLES = 3;

interface Rule {
  readonly from: string;
  readonly id: string;
  readonly when: string;
  /** Behind the number of rows. */
  readonly says: string;
}

/**
 * What in a host's rows breaks a rule of ours, each rule with how many rows and up to three of their public ids. Reads every
 * row of both tables and the tokens of their credentials.
 */
export async function nameUnfitRows(tx: Tx, host: HostTables): Promise<string[]> {
  const found: string[] = [];
  for (const rules of [identityRules(host), credentialRules(host)]) found.push(...(await judge(tx, rules)));
  for (const { from, id, when, says } of attributionRules(host)) {
    const [row] = await tx.query<{ rows: string; examples: string[] | null }>(
      `SELECT count(*) AS rows, to_jsonb((array_agg(${id}))[1:${EXAMPLES}]) AS examples FROM ${from} WHERE ${when}`,
    );
    if (row !== undefined && Number(row.rows) > 0) found.push(`${row.rows} ${says}${list(row.examples)}`);
  }
  if (host.credential !== null) found.push(...(await nameUnfitScopes(tx)));
  return found;
}

/** All rules of one table in one walk. */
async function judge(tx: Tx, rules: readonly Rule[]): Promise<string[]> {
  const [first] = rules;
  if (first === undefined) return [];
  const columns = rules.map(
    ({ id, when }, index) =>
      `count(*) FILTER (WHERE ${when}) AS "rows${index}", to_jsonb((array_agg(${id}) FILTER (WHERE ${when}))[1:${EXAMPLES}]) AS "examples${index}"`,
  );
  const [row] = await tx.query<Record<string, unknown>>(`SELECT ${columns.join(", ")} FROM ${first.from}`);
  return rules.flatMap(({ says }, index) => {
    const rows = Number(row?.[`rows${index}`]);
    return rows > 0 ? [`${rows} ${says}${list(row?.[`examples${index}`] as string[] | null)}`] : [];
  });
}

function list(examples: readonly string[] | null): string {
  return examples === null ? "" : ` (${examples.map((example) => quote(example)).join(", ")})`;
}

function identityRules({ identity }: HostTables): Rule[] {
  if (identity === null) return [];
  const rule = (when: string, says: string): Rule => ({
    from: "machine_identity i",
    id: `i."publicId"`,
    when,
    says: `of machine_identity ${says}`,
  });
  const has = (name: string) => identity.columns.has(name);
  const twice = (column: string) =>
    `i."${column}" IN (SELECT o."${column}" FROM machine_identity o GROUP BY 1 HAVING count(*) > 1)`;
  return [
    rule(`(i."publicId" ~ ${PUBLIC_ID}) IS NOT TRUE`, "have a public id that is not 12 letters or digits"),
    rule(twice("publicId"), "share their public id with another"),
    rule(`(i.slug ~ ${SLUG}) IS NOT TRUE`, "have a slug that is none"),
    rule(twice("slug"), "share their slug with another, maybe of another workspace"),
    rule(
      `(i.status IN ('active', 'paused', 'revoked')) IS NOT TRUE`,
      "have a status other than active, paused and revoked",
    ),
    rule(`i."revokedAt" IS NOT NULL AND i.status <> 'revoked'`, `have a "revokedAt" and are not revoked`),
    ...(has("provider") && has("threadId")
      ? [
          rule(
            `num_nonnulls(i.provider, i."threadId") = 1 OR i.provider !~ '^[a-z0-9]+$' OR i."threadId" = ''`,
            "have half a thread, or a provider that is none",
          ),
          rule(
            `(i.provider, i."threadId") IN (SELECT o.provider, o."threadId" FROM machine_identity o GROUP BY 1, 2 HAVING count(*) > 1)`,
            "share their thread with another",
          ),
        ]
      : []),
    ...(has("kind")
      ? [
          rule(
            `i.kind <> ${has("provider") && has("threadId") ? `CASE WHEN i.provider IS NULL THEN 'service' ELSE 'thread' END` : `'service'`}`,
            "have a kind that is neither service nor that of a thread",
          ),
        ]
      : []),
    ...(has("labels") ? [rule(`jsonb_typeof(i.labels) <> 'object'`, "have labels that are no object")] : []),
  ];
}

function credentialRules({ identity, credential, attributed }: HostTables): Rule[] {
  if (credential === null || identity === null) return [];
  const rule = (when: string, says: string): Rule => ({
    from: CREDENTIALS,
    id: `'mc_' || c."publicId"`,
    when,
    says: `of machine_identity_credential ${says}`,
  });
  const has = (name: string) => credential.columns.has(name);
  const current = `c.status IN ('active', 'paused') AND t."revokedAt" IS NULL AND coalesce(LEAST(c."expiresAt", t."expiresAt") > ${NOW}, true)`;
  const pending = `c.status = 'pending' AND t."revokedAt" IS NULL`;
  const twice = (which: string) =>
    `${which} AND (c."machineIdentityId", ${NAME}) IN (SELECT c."machineIdentityId", ${NAME} FROM ${CREDENTIALS} WHERE ${which} GROUP BY 1, 2 HAVING count(*) > 1)`;
  return [
    rule(`(c."publicId" ~ ${PUBLIC_ID}) IS NOT TRUE`, "have a public id that is not 12 letters or digits"),
    rule(`i.id IS NULL`, "are of no machine identity"),
    rule(`t.id IS NULL`, "have no agent token of their public id, which would be their secret"),
    rule(`t."tokenHash" !~ '^[0-9a-f]{64}$'`, "have an agent token whose hash is no SHA-256 in hex"),
    rule(
      `t.id IS NOT NULL AND i.id IS NOT NULL AND t."workspaceId" IS DISTINCT FROM i."workspaceId"`,
      "have an agent token of another workspace",
    ),
    ...(attributed.includes("agent_token")
      ? [
          rule(
            `t."machineIdentityId" <> c."machineIdentityId"`,
            "have an agent token of another machine identity",
          ),
        ]
      : []),
    ...(has("agentTokenId") && /^(bigint|integer)$/.test(credential.columns.get("agentTokenId")?.type ?? "")
      ? [rule(`c."agentTokenId" <> t.id`, `have an "agentTokenId" that is not the token of their public id`)]
      : []),
    ...(has("tokenHash")
      ? [rule(`c."tokenHash" <> t."tokenHash"`, "have another hash than their agent token")]
      : []),
    rule(`(${NAME} ~ ${SLUG}) IS NOT TRUE`, "have a name that is none"),
    rule(
      `(c.status IN ('pending', 'active', 'paused', 'superseded', 'revoked', 'abandoned')) IS NOT TRUE`,
      "have a status other than pending, active, paused, superseded, revoked and abandoned",
    ),
    rule(`c."revokedAt" IS NOT NULL AND c.status <> 'revoked'`, `have a "revokedAt" and are not revoked`),
    rule(twice(current), "are current under one name of one machine identity"),
    rule(twice(pending), "are pending under one name of one machine identity"),
  ];
}

function attributionRules({ identity, attributed }: HostTables): Rule[] {
  return attributed.map((table) => ({
    from: `${table} a`,
    id: `a."publicId"`,
    when: `a."machineIdentityId" IS NOT NULL${identity === null ? "" : ` AND NOT EXISTS (SELECT FROM machine_identity i WHERE i.id = a."machineIdentityId")`}`,
    says: `of ${table} are of a machine identity that is not there`,
  }));
}

/** By the program: before PostgreSQL 16, SQL has no question whether a text is JSON. */
async function nameUnfitScopes(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ scopes: string; rows: string; example: string }>(
    `SELECT t.scopes, count(*) AS rows, min('mc_' || c."publicId") AS example
       FROM machine_identity_credential c JOIN agent_token t ON t."publicId" = c."publicId" GROUP BY 1 ORDER BY 3`,
  );
  const unfit = rows.filter(({ scopes }) => !isScopeList(scopes));
  if (unfit.length === 0) return [];
  const total = unfit.reduce((sum, { rows: count }) => sum + Number(count), 0);
  const examples = unfit.slice(0, EXAMPLES).map(({ example }) => example);
  return [
    `${total} of machine_identity_credential have scopes that are no JSON array of strings${list(examples)}`,
  ];
}
