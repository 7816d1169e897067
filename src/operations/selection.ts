import type { Tx } from "../db/database.ts";
import { type ListFilter, listIdentityRows } from "../repository/listing.ts";

/** Which identities a command is for: those named, or all that fit. */
export type Selection =
  | { readonly slugs: readonly string[] }
  | { readonly filter: Omit<ListFilter, "identity"> };

/** More than this is several commands. */
export const MOST_TARGETS = 100_000;

/** So many at a time are read. */
export const PAGE = 1_000;

/** Slugs of a selection by the page, in order; each once. Names are not looked up here. */
export async function* selectSlugs(db: Tx, selection: Selection): AsyncGenerator<readonly string[]> {
  if ("slugs" in selection) {
    const slugs = [...new Set(selection.slugs)];
    for (let at = 0; at < slugs.length; at += PAGE) yield slugs.slice(at, at + PAGE);
    return;
  }
  const filter = { ...selection.filter, identity: null };
  let after: readonly [string, string] | null = null;
  do {
    const page: Awaited<ReturnType<typeof listIdentityRows>> = await listIdentityRows(db, filter, "slug", {
      limit: PAGE,
      after,
      descending: false,
    });
    if (page.rows.length > 0) yield page.rows.map(({ slug }) => slug);
    after = page.next;
  } while (after !== null);
}
