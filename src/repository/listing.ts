import type { Param, Tx } from "../db/database.ts";
import type { EffectiveStatus } from "../domain/status.ts";
import { CREDENTIAL_COLUMNS, type Credential, credentialState, IS_LIVE } from "./credential.ts";
import { IDENTITY_COLUMNS, type Identity } from "./identity.ts";
import { type IdentityStanding, STANDING_COLUMNS } from "./standing.ts";
import type { LegacyToken } from "./token.ts";
import { toScopes } from "./token-facts.ts";

/**
 * Lists by keyset: each page begins after the last row of the one before, by row comparison on an index that has the
 * page's order, so that a deep page of a million rows costs what the first of a thousand does.
 */

export interface ListFilter {
  /** Effective statuses; empty for all. `refused` is of tokens only. */
  readonly status: readonly (EffectiveStatus | "refused")[];
  readonly labels: readonly { readonly key: string; readonly value: string }[];
  readonly owner: string | null;
  readonly provider: string | null;
  /** Seconds. */
  readonly expiringWithin: number | null;
  /** Seconds. */
  readonly unusedFor: number | null;
  /** Slug of one identity; credentials and tokens only. */
  readonly identity: string | null;
}

export type IdentitySort = "slug" | "created" | "expires";
export type CredentialSort = "issued" | "expires";

export interface Page {
  readonly limit: number;
  /** Sort key and tie-breaker of the last row before; null for the first page. */
  readonly after: readonly [string, string] | null;
  readonly descending: boolean;
}

export interface Listed<Row> {
  readonly rows: Row[];
  readonly next: readonly [string, string] | null;
}

/** Collects clauses and their parameters. */
class Where {
  readonly params: Param[] = [];
  readonly clauses: string[] = [];
  bind(value: Param): string {
    return `$${this.params.push(value)}`;
  }
  add(clause: string): void {
    this.clauses.push(clause);
  }
  get text(): string {
    return this.clauses.length === 0 ? "" : `WHERE ${this.clauses.join(" AND ")}`;
  }
}

/** With no end the row sorts last; `infinity` keeps the row comparison and its index whole. */
const forever = (row: "i" | "c"): string => `coalesce(${row}."expiresAt", 'infinity'::timestamp)`;

/** The statement's own clock, which an index can be asked with, and a minute for the statement to take. */
const SOON = `(statement_timestamp() AT TIME ZONE 'UTC') + interval '1 minute'`;

/** What must be stored for an identity to be effectively so: lets an index narrow what the function then decides. */
const IDENTITY_NARROW: Readonly<Partial<Record<EffectiveStatus, string>>> = {
  active: `i.status = 'active'`,
  paused: `(i.status = 'paused' OR (i.status = 'active' AND i."idleTtl" IS NOT NULL))`,
  revoked: `i.status = 'revoked'`,
  expired: `i.status IN ('active', 'paused') AND (${forever("i")} <= ${SOON} OR i."parentId" IS NOT NULL)`,
  identity_paused: `i.status = 'active' AND i."parentId" IS NOT NULL`,
  identity_revoked: `i.status IN ('active', 'paused') AND i."parentId" IS NOT NULL`,
};

const CREDENTIAL_NARROW: Readonly<Record<EffectiveStatus, string>> = {
  active: `c.status = 'active'`,
  grace: `c.status = 'superseded'`,
  pending: `c.status = 'pending'`,
  paused: `c.status = 'paused'`,
  superseded: `c.status = 'superseded'`,
  abandoned: `c.status IN ('abandoned', 'pending')`,
  revoked: `c.status = 'revoked'`,
  expired: `c.status IN ('pending', 'active', 'paused', 'superseded')`,
  identity_paused: `c.status IN ('pending', 'active', 'paused', 'superseded')`,
  identity_revoked: `true`,
};

/** Whom a change of their own status would reach; by what is stored, for nobody is paused by an ancestor for good. */
const REACHED = {
  paused: `i.status = 'active'`,
  active: `(i.status = 'paused' OR (i.status = 'active' AND i."idleTtl" IS NOT NULL AND midctl_is_idle(i, midctl_now())))`,
  revoked: `i.status IN ('active', 'paused')`,
} as const;

export function listIdentityRows(
  tx: Tx,
  filter: ListFilter,
  sort: IdentitySort,
  page: Page,
): Promise<Listed<Identity>> {
  return listIdentitiesBy(tx, new Where(), IDENTITY_COLUMNS, filter, sort, page);
}

/**
 * How those stand that fit, by slug.
 * @param unless leaves out whom that status would not change; null for nobody
 */
export function listIdentityStandings(
  tx: Tx,
  filter: ListFilter,
  unless: keyof typeof REACHED | null,
  page: Page,
): Promise<Listed<IdentityStanding>> {
  const where = new Where();
  if (unless !== null) where.add(REACHED[unless]);
  return listIdentitiesBy(tx, where, STANDING_COLUMNS, filter, "slug", page);
}

async function listIdentitiesBy<Row extends object>(
  tx: Tx,
  where: Where,
  columns: string,
  filter: ListFilter,
  sort: IdentitySort,
  page: Page,
): Promise<Listed<Row>> {
  const [first, ...others] = filter.labels;
  const byLabel = first !== undefined && sort === "slug";
  // One label walks the label table in slug order; further ones walk beside it, before any identity is fetched.
  const from = byLabel
    ? `midctl_identity_label l JOIN machine_identity i ON i.id = l."machineIdentityId"`
    : `machine_identity i`;
  if (byLabel) where.add(`l.key = ${where.bind(first.key)} AND l.value = ${where.bind(first.value)}`);
  for (const label of byLabel ? others : filter.labels) {
    let same = `o.slug = ${byLabel ? "l" : "i"}.slug`;
    // Said of both: the planner does not carry a page's beginning from one to the other, and would walk there.
    if (byLabel && page.after !== null)
      same += ` AND o.slug ${page.descending ? "<" : ">"} ${where.bind(page.after[0])}::text`;
    where.add(
      `EXISTS (SELECT FROM midctl_identity_label o WHERE o.key = ${where.bind(label.key)} AND o.value = ${where.bind(label.value)} AND ${same})`,
    );
  }
  if (filter.owner !== null) where.add(`i.owner = ${where.bind(filter.owner)}`);
  if (filter.provider !== null) where.add(`i.provider = ${where.bind(filter.provider)}`);
  if (filter.expiringWithin !== null) {
    // As of credentials: what is revoked ends no more.
    where.add(
      `i.status <> 'revoked' AND ${forever("i")} > midctl_now() AND ${forever("i")} <= midctl_now() + make_interval(secs => ${where.bind(filter.expiringWithin)}::float8)`,
    );
  }
  if (filter.unusedFor !== null) {
    where.add(
      `coalesce(i."lastUsedAt", i."createdAt") <= midctl_now() - make_interval(secs => ${where.bind(filter.unusedFor)}::float8)`,
    );
  }
  addStatus(where, filter.status, IDENTITY_NARROW, `midctl_identity_state(i.id, midctl_now())`);

  const keys: Readonly<Record<IdentitySort, readonly [string, string, string]>> = {
    slug: [byLabel ? "l.slug" : "i.slug", "", "varchar"],
    created: ["i.id", "", "bigint"],
    expires: [forever("i"), "i.id", "timestamp"],
  };
  return list<Row>(tx, where, columns, from, keys[sort], page);
}

export async function listCredentialRows(
  tx: Tx,
  filter: ListFilter,
  sort: CredentialSort,
  page: Page,
): Promise<Listed<Credential>> {
  const where = new Where();
  for (const label of filter.labels) {
    where.add(
      `EXISTS (SELECT FROM midctl_identity_label o WHERE o.key = ${where.bind(label.key)} AND o.value = ${where.bind(label.value)} AND o.slug = i.slug)`,
    );
  }
  if (filter.identity !== null) where.add(`i.slug = ${where.bind(filter.identity)}`);
  if (filter.owner !== null) where.add(`i.owner = ${where.bind(filter.owner)}`);
  if (filter.provider !== null) where.add(`i.provider = ${where.bind(filter.provider)}`);
  if (filter.expiringWithin !== null) {
    // What is about to end and still matters: not what ended otherwise.
    where.add(`${forever("c")} > midctl_now() AND ${forever("c")} <= midctl_now() + make_interval(secs => ${where.bind(filter.expiringWithin)}::float8)
      AND ${IS_LIVE}`);
  }
  if (filter.unusedFor !== null) {
    where.add(`coalesce((SELECT t."lastUsedAt" FROM agent_token t WHERE t."publicId" = c."publicId"), c."issuedAt")
      <= midctl_now() - make_interval(secs => ${where.bind(filter.unusedFor)}::float8)`);
  }
  addStatus(where, filter.status, CREDENTIAL_NARROW, credentialState());
  const keys: Readonly<Record<CredentialSort, readonly [string, string, string]>> = {
    issued: ["c.id", "", "bigint"],
    expires: [forever("c"), "c.id", "timestamp"],
  };
  return list<Credential>(
    tx,
    where,
    CREDENTIAL_COLUMNS,
    `machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"`,
    keys[sort],
    page,
  );
}

/** A token as it is listed: ours through its credential, a legacy one by itself. */
export interface TokenRow extends Omit<LegacyToken, "publicId" | "effectiveStatus" | "stale"> {
  readonly id: string;
  readonly legacy: boolean;
  readonly identity: string | null;
  readonly credential: string | null;
  /** `refused`: it has a machine identity and no credential, so that it authenticates nobody. */
  readonly effectiveStatus: EffectiveStatus | "refused";
}

export async function listTokenRows(
  tx: Tx,
  filter: ListFilter & { readonly legacyOnly: boolean },
  page: Page,
): Promise<Listed<TokenRow>> {
  const where = new Where();
  // What nobody adopted: also what has a host's own machine identity, and no credential.
  if (filter.legacyOnly) where.add(`(t."machineIdentityId" IS NULL OR c.id IS NULL)`);
  if (filter.identity !== null) where.add(`i.slug = ${where.bind(filter.identity)}`);
  if (filter.owner !== null) where.add(`i.owner = ${where.bind(filter.owner)}`);
  if (filter.provider !== null) where.add(`i.provider = ${where.bind(filter.provider)}`);
  for (const label of filter.labels) {
    where.add(
      `EXISTS (SELECT FROM midctl_identity_label o WHERE o.key = ${where.bind(label.key)} AND o.value = ${where.bind(label.value)} AND o.slug = i.slug)`,
    );
  }
  if (filter.expiringWithin !== null) {
    where.add(
      `t."revokedAt" IS NULL AND t."expiresAt" > midctl_now() AND t."expiresAt" <= midctl_now() + make_interval(secs => ${where.bind(filter.expiringWithin)}::float8)`,
    );
  }
  if (filter.unusedFor !== null) {
    where.add(
      `coalesce(t."lastUsedAt", t."createdAt") <= midctl_now() - make_interval(secs => ${where.bind(filter.unusedFor)}::float8)`,
    );
  }
  const state = `CASE WHEN c.id IS NOT NULL THEN ${credentialState()}
    WHEN t."revokedAt" IS NOT NULL THEN 'revoked' WHEN t."expiresAt" <= midctl_now() THEN 'expired'
    WHEN t."machineIdentityId" IS NOT NULL THEN 'refused' ELSE 'active' END`;
  if (filter.status.length > 0)
    where.add(`${state} IN (${filter.status.map((status) => where.bind(status)).join(", ")})`);
  const listed = await list<TokenRow>(
    tx,
    where,
    `'at_' || t."publicId" AS id, t."machineIdentityId" IS NULL AS legacy, i.slug AS identity, 'mc_' || c."publicId" AS credential,
     t.name, ${state} AS "effectiveStatus", t.scopes, midctl_workspace_slug(t."workspaceId") AS workspace,
     midctl_instant(t."createdAt") AS "createdAt", midctl_instant(t."expiresAt") AS "expiresAt",
     midctl_instant(t."lastUsedAt") AS "lastUsedAt", midctl_instant(t."revokedAt") AS "revokedAt"`,
    `agent_token t LEFT JOIN machine_identity_credential c ON c."publicId" = t."publicId"
     LEFT JOIN machine_identity i ON i.id = t."machineIdentityId"`,
    ["t.id", "", "bigint"],
    page,
  );
  // As text: what a host wrote there need not be JSON.
  return { ...listed, rows: listed.rows.map((row) => ({ ...row, scopes: toScopes(row.scopes) })) };
}

function addStatus(
  where: Where,
  statuses: ListFilter["status"],
  narrow: Readonly<Partial<Record<ListFilter["status"][number], string>>>,
  state: string,
): void {
  if (statuses.length === 0) return;
  where.add(`(${statuses.map((status) => narrow[status] ?? "false").join(" OR ")})`);
  where.add(`${state} IN (${statuses.map((status) => where.bind(status)).join(", ")})`);
}

async function list<Row extends object>(
  tx: Tx,
  where: Where,
  columns: string,
  from: string,
  [key, tie, type]: readonly [string, string, string],
  page: Page,
): Promise<Listed<Row>> {
  const direction = page.descending ? "DESC" : "ASC";
  if (page.after !== null) {
    const operator = page.descending ? "<" : ">";
    const [after, tiebreak] = page.after;
    where.add(
      tie === ""
        ? `${key} ${operator} ${where.bind(after)}::text::${type}`
        : `(${key}, ${tie}) ${operator} (${where.bind(after)}::text::${type}, ${where.bind(tiebreak)}::text::bigint)`,
    );
  }
  const order = tie === "" ? `${key} ${direction}` : `${key} ${direction}, ${tie} ${direction}`;
  // Written out: with the limit bound, the plan for any limit looks dear and the server plans every page anew.
  const limit = Math.trunc(page.limit) + 1;
  const rows = await tx.query<Row & { readonly _key: string; readonly _tie: string }>(
    `SELECT ${columns}, (${key})::text AS _key, ${tie === "" ? "''" : `(${tie})::text`} AS _tie
       FROM ${from} ${where.text} ORDER BY ${order} LIMIT ${limit}`,
    where.params,
  );
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  return {
    next: rows.length > page.limit && last !== undefined ? [last._key, last._tie] : null,
    rows: shown.map(({ _key, _tie, ...row }) => row as unknown as Row),
  };
}
