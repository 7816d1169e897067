/** Pausing, resuming and revoking many: who is meant, read by the page before anybody is asked. */
import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { addSeconds, type End } from "../domain/instant.ts";
import { formatReference } from "../domain/reference.ts";
import { type ListFilter, listIdentityStandings } from "../repository/listing.ts";
import { readMoment } from "../repository/moment.ts";
import { readLiveIssuedBefore } from "../repository/standing.ts";
import {
  type ControlStatus,
  parseTarget,
  readTargets,
  type Target,
  targetCredential,
  targetIdentity,
} from "./control.ts";
import { MOST_TARGETS, PAGE, selectSlugs } from "./selection.ts";

/** Identities, credentials and tokens by reference, or all identities that fit. */
export type ControlSelection =
  | { readonly refs: readonly string[] }
  | { readonly filter: Omit<ListFilter, "identity"> };

/**
 * The targets of a control action. What is named is taken as named, once; of what fits, whoever stands so already is left out,
 * by their own status: a pause by an ancestor is nobody's own.
 * @throws MidctlError `not_found` for a name that there is not; `usage` for one that is none, and for more than `MOST_TARGETS`
 */
export async function selectTargets(
  db: Tx,
  selection: ControlSelection,
  status: ControlStatus,
): Promise<Target[]> {
  if ("refs" in selection) return readNamed(db, selection.refs);
  const targets: Target[] = [];
  for await (const page of pagesOf(db, selection.filter, status)) add(targets, page);
  return targets;
}

/** Whether any identity fits, however it stands. */
export async function fitsAnybody(db: Tx, filter: Omit<ListFilter, "identity">): Promise<boolean> {
  const { rows } = await listIdentityStandings(db, { ...filter, identity: null }, null, {
    limit: 1,
    after: null,
    descending: false,
  });
  return rows.length > 0;
}

/**
 * The live credentials of a selection of identities that were issued before a moment: pending, current and in grace.
 * @param before seconds count back from the database's clock
 * @returns the moment too, RFC 3339
 * @throws MidctlError as `selectTargets`; `usage` for a reference to anything but an identity
 */
export async function selectIssuedBefore(
  db: Tx,
  selection: ControlSelection,
  before: End,
): Promise<{ readonly targets: Target[]; readonly before: string }> {
  const at = "at" in before ? before.at : addSeconds((await readMoment(db)).now, -before.seconds);
  const slugs = "refs" in selection ? await readSlugs(db, selection.refs) : null;
  const targets: Target[] = [];
  for await (const page of selectSlugs(db, slugs === null ? (selection as Filtered) : { slugs })) {
    add(targets, (await readLiveIssuedBefore(db, page, at)).map(targetCredential));
  }
  return { targets, before: at };
}

type Filtered = Exclude<ControlSelection, { readonly refs: readonly string[] }>;

async function readNamed(db: Tx, refs: readonly string[]): Promise<Target[]> {
  const once = [...new Set(refs)];
  if (once.length > MOST_TARGETS) throw tooMany();
  const references = once.map(parseTarget);
  const targets: Target[] = [];
  for (let at = 0; at < references.length; at += PAGE) {
    add(targets, await readTargets(db, references.slice(at, at + PAGE)));
  }
  return targets;
}

/** @throws MidctlError `usage` for what is no identity, `not_found` for one that there is not */
async function readSlugs(db: Tx, refs: readonly string[]): Promise<string[]> {
  const other = refs.map(parseTarget).find(({ kind }) => kind !== "identity");
  if (other !== undefined) {
    throw new MidctlError(
      "usage",
      `${formatReference(other)} is a ${other.kind}, and what was issued before a moment is asked of identities; nothing was changed.`,
      { hint: `midctl revoke ${formatReference(other)} revokes it by itself.` },
    );
  }
  return (await readNamed(db, refs)).map(({ reference }) => formatReference(reference));
}

async function* pagesOf(
  db: Tx,
  filter: Omit<ListFilter, "identity">,
  status: ControlStatus,
): AsyncGenerator<readonly Target[]> {
  let after: readonly [string, string] | null = null;
  do {
    const page: Awaited<ReturnType<typeof listIdentityStandings>> = await listIdentityStandings(
      db,
      { ...filter, identity: null },
      status,
      { limit: PAGE, after, descending: false },
    );
    yield page.rows.map(targetIdentity);
    after = page.next;
  } while (after !== null);
}

function add(targets: Target[], page: readonly Target[]): void {
  for (const target of page) targets.push(target);
  if (targets.length > MOST_TARGETS) throw tooMany();
}

function tooMany(): MidctlError {
  return new MidctlError("usage", `The selection is of more than ${MOST_TARGETS}; nothing was changed.`, {
    hint: "Make it several commands, by label or owner.",
  });
}
