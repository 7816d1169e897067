import type { Tx } from "../db/database.ts";
import type { CredentialFacts, IdentityFacts } from "../domain/status.ts";
import type { Credential } from "./credential.ts";
import type { Identity } from "./identity.ts";
import { LOOKUPS } from "./token-lookup.ts";
import type { LogHead } from "./tree.ts";

/**
 * What decisions are made of, read for many tokens in one statement and told raw: what it amounts to is reckoned by
 * `domain/status.ts`, which costs a tenth of the same in SQL. Columns are few, for they are most of a lookup's cost.
 */

/** The credential of a token in use: what a resource server acts on. */
export type CredentialInUse = Pick<
  Credential,
  "id" | "identity" | "name" | "effectiveStatus" | "scopes" | "issuedAt" | "expiresAt"
>;

/** The machine identity behind a token in use. */
export type IdentityInUse = Pick<
  Identity,
  | "slug"
  | "publicId"
  | "kind"
  | "provider"
  | "threadId"
  | "displayName"
  | "owner"
  | "labels"
  | "parent"
  | "workspace"
>;

/** A token of a machine identity. */
export interface OwnToken {
  readonly kind: "own";
  readonly publicId: string;
  readonly credential: Omit<CredentialInUse, "effectiveStatus">;
  readonly identity: IdentityInUse;
  readonly facts: CredentialFacts;
  /** The identity itself, then its ancestors. Without an `idleTtl` its times are not read. */
  readonly chain: readonly IdentityFacts[];
  /** Public ids of credential, identity and ancestors: what a change of it is told by. */
  readonly ids: readonly string[];
  /** Public id of the credential that a first use supersedes; null unless it is pending. */
  readonly replaces: string | null;
  /** The host revoked the row, whatever the credential says. */
  readonly hostRevoked: boolean;
  readonly lastUsedAt: Date | null;
}

/** A token that the host made before it had machine identities. */
export interface HostToken {
  readonly kind: "legacy";
  readonly publicId: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly workspace: string | null;
  readonly facts: { readonly revoked: boolean; readonly expiresAt: Date | null };
  readonly lastUsedAt: Date | null;
}

export type TokenFacts = OwnToken | HostToken;

/** A standby may lag behind a revocation, and a database that has moved will never hear of one. */
export type Barred = "standby" | "moved";

/** Answers to one statement, as of one moment. */
export interface Reading {
  /** The database's clock, ms since 1970. */
  readonly at: number;
  /** Why nothing can be decided on here, or null. */
  readonly barred: Barred | null;
  /** Row-level security shows the owner of our functions no token at all: what is missing is not unknown. */
  readonly hidden: boolean;
  /** The log's head as of that moment, where it was asked for. */
  readonly head: LogHead | null;
  /** By the hash that was asked for: their secrets are right. What is missing is unknown. */
  readonly tokens: ReadonlyMap<string, TokenFacts>;
}

/** What a token of ours is looked up by. */
export interface Secret {
  /** base62 */
  readonly publicId: string;
  /** Hex. */
  readonly hash: string;
}

/** A row of either statement; columns of what was not found are null. */
interface Row {
  /** 1 for the first that was asked for. */
  readonly place: string;
  readonly good: boolean;
  /** On one row alone; with the log's size and edge behind it, where they were asked for. */
  readonly at: string | null;
  readonly barred: Barred | null;
  readonly hidden: boolean | null;
  readonly packed: string | null;
  readonly [column: string]: unknown;
}

/**
 * Looks tokens up by public id and hash. An unknown one costs the same work. At most some hundreds at once.
 * @param withHead whether the log's head is wanted too
 */
export async function readTokens(tx: Tx, secrets: readonly Secret[], withHead = false): Promise<Reading> {
  const hashes = secrets.map(({ hash }) => hash);
  const rows = await tx.query<Row>(LOOKUPS[withHead ? "headed" : "bare"].byPublicId, [
    `{${secrets.map(({ publicId }) => publicId).join(",")}}`,
    `{${hashes.join(",")}}`,
  ]);
  return toReading(rows, hashes, ownToken);
}

/** As `readTokens`, of legacy tokens by the hash they are kept as; one that was adopted is its identity's own. */
export async function readLegacyTokens(
  tx: Tx,
  hashes: readonly string[],
  withHead = false,
): Promise<Reading> {
  const rows = await tx.query<Row>(LOOKUPS[withHead ? "headed" : "bare"].byHash, [`{${hashes.join(",")}}`]);
  return toReading(rows, hashes, (row) => (row.legacy === true ? hostToken(row) : ownToken(row)));
}

function toReading(
  rows: readonly Row[],
  hashes: readonly string[],
  toFacts: (row: Row) => TokenFacts | null,
): Reading {
  const tokens = new Map<string, TokenFacts>();
  let moment: Row | undefined;
  for (const row of rows) {
    if (row.at !== null) moment = row;
    const facts = toFacts(row);
    const hash = hashes[Number(row.place) - 1];
    if (row.good && facts !== null && hash !== undefined) tokens.set(hash, facts);
  }
  const [at, size, edge] = moment?.at?.split("|") ?? [];
  return {
    at: toDate(at)?.getTime() ?? Number.NaN,
    barred: moment === undefined ? "standby" : moment.barred,
    hidden: moment?.hidden !== false,
    head: size === undefined || edge === undefined ? null : { size, edge },
    tokens,
  };
}

/** Null for a row that was not found, and for a token with an identity but no credential: nobody issued it. */
function ownToken(row: Row): OwnToken | null {
  if (row.packed === null) return null;
  const [
    publicId = "",
    name = "",
    status,
    issuedAt,
    expiresAt,
    graceUntil,
    activationDeadline,
    replaces,
    identityId = "",
    slug = "",
    kind,
    provider,
    standing,
    identityEnds,
    idleTtl,
    createdAt,
    usedAt,
    resumedAt,
    tokenUsedAt,
    hostRevoked,
  ] = row.packed.split("|");
  const line = (row.line ?? NO_LINE) as readonly Ancestor[];
  return {
    kind: "own",
    publicId,
    hostRevoked: hostRevoked !== "f",
    lastUsedAt: toDate(tokenUsedAt),
    replaces: replaces || null,
    ids:
      line.length === 0
        ? [publicId, identityId]
        : [publicId, identityId, ...line.map((each) => each.publicId)],
    facts: {
      status: status as CredentialFacts["status"],
      expiresAt: toDate(expiresAt),
      activationDeadline: toDate(activationDeadline),
      graceUntil: toDate(graceUntil),
    },
    chain: [
      {
        status: standing as IdentityFacts["status"],
        expiresAt: toDate(identityEnds),
        idleTtl: idleTtl ? Number(idleTtl) : null,
        createdAt: toDate(createdAt) ?? LONG_AGO,
        lastUsedAt: toDate(usedAt),
        resumedAt: toDate(resumedAt),
      },
      ...line.map(toAncestorFacts),
    ],
    credential: {
      id: `mc_${publicId}`,
      identity: slug,
      name,
      scopes: toScopes(row.scopes),
      issuedAt: toInstant(issuedAt) ?? "",
      expiresAt: toInstant(expiresAt),
    },
    identity: {
      slug,
      publicId: identityId,
      kind: kind as IdentityInUse["kind"],
      provider: provider || null,
      threadId: row.threadId as string | null,
      displayName: row.displayName as string,
      owner: row.owner as string,
      labels: row.labels === "{}" ? NO_LABELS : (JSON.parse(row.labels as string) as Record<string, string>),
      parent: line[0]?.slug ?? null,
      workspace: row.workspace as string | null,
    },
  };
}

const NO_LINE: readonly Ancestor[] = [];
const LONG_AGO = new Date(0);
const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

function hostToken(row: Row): HostToken {
  return {
    kind: "legacy",
    publicId: row.tPublicId as string,
    name: row.tName as string,
    scopes: toScopes(row.tScopes),
    workspace: row.tWorkspace as string | null,
    facts: { revoked: row.tRevoked === true, expiresAt: toDate(row.tExpiresAt) },
    lastUsedAt: toDate(row.tUsedAt),
  };
}

interface Ancestor {
  readonly slug: string;
  readonly publicId: string;
  readonly status: IdentityFacts["status"];
  readonly expiresAt: string | null;
}

/** Of ancestors only what reaches down is read: not their idleness. */
function toAncestorFacts({ status, expiresAt }: Ancestor): IdentityFacts {
  return {
    status,
    expiresAt: toDate(expiresAt),
    idleTtl: null,
    createdAt: LONG_AGO,
    lastUsedAt: null,
    resumedAt: null,
  };
}

/** A host's scopes that are no list of strings grant nothing. */
export function toScopes(text: unknown): readonly string[] {
  if (text === "[]") return [];
  try {
    const scopes: unknown = JSON.parse(text as string);
    return Array.isArray(scopes) ? scopes.filter((scope) => typeof scope === "string") : [];
  } catch {
    return [];
  }
}

/** PostgreSQL's `2026-01-31 23:59:59.5` (UTC) as RFC 3339 to the millisecond; null for none, and for `infinity`. */
function toInstant(text: unknown): string | null {
  if (typeof text !== "string" || text === "" || text.endsWith("infinity")) return null;
  const point = text.length > 19 ? text.slice(19, 23).padEnd(4, "0") : ".000";
  return text.charCodeAt(4) === DASH ? `${text.slice(0, 10)}T${text.slice(11, 19)}${point}Z` : text;
}

/** As `toInstant`. A year of other than four digits is beyond every life. */
function toDate(text: unknown): Date | null {
  if (typeof text !== "string" || text === "infinity") return null;
  if (text === "-infinity" || text.endsWith("BC")) return LONG_AGO;
  if (text.charCodeAt(4) !== DASH) return null;
  return new Date(
    Date.UTC(
      +text.slice(0, 4),
      +text.slice(5, 7) - 1,
      +text.slice(8, 10),
      +text.slice(11, 13),
      +text.slice(14, 16),
      +text.slice(17, 19),
      text.length > 19 ? +text.slice(20, 23).padEnd(3, "0") : 0,
    ),
  );
}

const DASH = 0x2d;
