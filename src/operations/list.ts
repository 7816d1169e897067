import type { Tx } from "../db/database.ts";
import type { Credential } from "../repository/credential.ts";
import { findIdentity, type Identity } from "../repository/identity.ts";
import {
  type CredentialSort,
  type IdentitySort,
  type Listed,
  type ListFilter,
  listCredentialRows,
  listIdentityRows,
  listTokenRows,
  type Page,
  type TokenRow,
} from "../repository/listing.ts";
import { beginsWithMoment, readCursor, writeCursor } from "./cursor.ts";
import { notFound } from "./lookup.ts";

export interface PageRequest {
  /** Rows of one page, 1 to 1000. */
  readonly limit: number;
  readonly cursor: string | null;
  readonly descending: boolean;
}

/** Machine identities, by slug where nothing is said. Throws `usage` for a cursor of another list. */
export async function listIdentities(
  db: Tx,
  filter: ListFilter,
  sort: IdentitySort,
  page: PageRequest,
): Promise<{ identities: Identity[]; nextCursor: string | null }> {
  const [list, at] = place("identities", sort, page);
  const found = await listIdentityRows(db, filter, sort, at);
  return { identities: found.rows, nextCursor: nextCursor(list, found) };
}

/** Credentials in the order in which they were issued, or will end. Throws `not_found` for the identity asked for. */
export async function listCredentials(
  db: Tx,
  filter: ListFilter,
  sort: CredentialSort,
  page: PageRequest,
): Promise<{ credentials: Credential[]; nextCursor: string | null }> {
  await requireIdentity(db, filter);
  const [list, at] = place("credentials", sort, page);
  const found = await listCredentialRows(db, filter, sort, at);
  return { credentials: found.rows, nextCursor: nextCursor(list, found) };
}

/** Tokens of both kinds, legacy ones alone on request. */
export async function listTokens(
  db: Tx,
  filter: ListFilter & { readonly legacyOnly: boolean },
  page: PageRequest,
): Promise<{ tokens: TokenRow[]; nextCursor: string | null }> {
  await requireIdentity(db, filter);
  const [list, at] = place("tokens", "issued", page);
  const found = await listTokenRows(db, filter, at);
  return { tokens: found.rows, nextCursor: nextCursor(list, found) };
}

async function requireIdentity(db: Tx, filter: ListFilter): Promise<void> {
  if (filter.identity !== null && (await findIdentity(db, filter.identity)) === null) {
    throw await notFound(db, { kind: "identity", slug: filter.identity }, "nothing was listed");
  }
}

/** What the key and the tie-breaker of the last row look like, one space between them: never so that a database would not take them. */
const FITTING: Readonly<Record<IdentitySort | CredentialSort, (parts: string) => boolean>> = {
  slug: (parts) => /^[a-z0-9-]{1,63} $/.test(parts),
  created: isNumber,
  issued: isNumber,
  expires: (parts) =>
    /^infinity \d{1,18}$/.test(parts) ||
    (/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? \d{1,18}$/.test(parts) && beginsWithMoment(parts)),
};

function isNumber(parts: string): boolean {
  return /^\d{1,18} $/.test(parts);
}

function place(noun: string, sort: IdentitySort | CredentialSort, page: PageRequest): [string, Page] {
  const list = `${noun}.${sort}.${page.descending ? "desc" : "asc"}`;
  const [key, tie] = page.cursor === null ? [] : readCursor(list, page.cursor, 2, FITTING[sort]);
  return [
    list,
    {
      limit: page.limit,
      descending: page.descending,
      after: key === undefined || tie === undefined ? null : [key, tie],
    },
  ];
}

function nextCursor(list: string, found: Listed<unknown>): string | null {
  return found.next === null ? null : writeCursor(list, found.next);
}
