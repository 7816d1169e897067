import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { readRoots } from "../domain/merkle.ts";
import { readNodesOf } from "../domain/tile.ts";
import type { Evidence, EvidenceFacts, NewEvidence } from "../repository/evidence.ts";
import { noteEvidence as note, readEvidence } from "../repository/evidence.ts";
import { readTree } from "../repository/tree.ts";

/**
 * Notes that the log was verified, or its head kept elsewhere, for `status` and `doctor`. It is bookkeeping beside the log and no
 * entry in it: a log that grew by being verified would never be as long as its last checkpoint.
 * @returns what kept it from being noted: a role without the right, a standby; null where it was
 */
export async function noteEvidence(db: Tx, evidence: NewEvidence): Promise<MidctlError | null> {
  try {
    if (!("found" in evidence) || evidence.found === 0) await refuseUnlike(db, evidence);
    await note(db, evidence);
    return null;
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
}

/** What says that the log was another one before is not written over: nobody would hear of it any more. */
async function refuseUnlike(db: Tx, { what, against }: NewEvidence): Promise<void> {
  const facts = await readEvidence(db);
  const before = facts?.evidence.filter((each) => each.what === what && each.against === against) ?? [];
  if (facts === null || (await readUnlike(db, { ...facts, evidence: before })).length === 0) return;
  throw new MidctlError("conflict", `the log is another than the one that was ${what} before.`, {
    hint: "`midctl doctor` says since when.",
  });
}

/** Which notes saw another log than this one is now: a longer one, or one that began with other entries. */
export async function readUnlike(db: Tx, { size, evidence }: EvidenceFacts): Promise<readonly Evidence[]> {
  const within = evidence.filter((note) => note.size <= size);
  const roots = await readRootsOf(
    db,
    within.map((note) => note.size),
  );
  const rootOf = new Map(within.map((note, at) => [note, roots[at]?.toString("hex")]));
  // What was found to be wrong may be just that.
  return evidence.filter((note) => note.found === 0 && rootOf.get(note) !== note.root);
}

/** Of the log as it was so long; none where the tree has lost what they are made of. */
async function readRootsOf(db: Tx, sizes: readonly number[]): Promise<readonly Buffer[]> {
  try {
    return await readRoots(
      sizes.map((end) => ({ begin: 0, end })),
      readNodesOf(await readTree(db)),
    );
  } catch (error) {
    if (error instanceof MidctlError && error.code === "conflict") return [];
    throw error;
  }
}

/**
 * How many entries were last compared with checkpoints, with nothing found; 0 where that never was, where what was found stands, and
 * for whoever may not read it.
 * @param signed only with those that were signed by a key that was given
 */
export async function readVerified(db: Tx, { signed }: { readonly signed: boolean }): Promise<number> {
  const evidence = (await readEvidence(db))?.evidence ?? [];
  if (evidence.some(({ what }) => what === "found")) return 0;
  const sound = evidence.filter(
    ({ what, against, found }) =>
      what === "verified" &&
      found === 0 &&
      (against === "signed_checkpoint" || (against === "checkpoint" && !signed)),
  );
  return Math.max(0, ...sound.map(({ compared }) => compared));
}

/** What was found to be wrong, and stands; nothing for whoever may not read it. */
export async function readFound(db: Tx): Promise<readonly Evidence[]> {
  const facts = await readEvidence(db);
  return facts === null ? [] : witnessedOf(facts).found;
}

/** When the log was last verified, and its head last kept elsewhere. */
export interface Witnessed {
  /** How many entries the log has now. */
  readonly size: number;
  /** The last time against something from elsewhere, or else against itself; null where it never was. */
  readonly verified: Evidence | null;
  readonly anchored: Evidence | null;
  /** What was found to be wrong, and stands until a comparison as good has found nothing. */
  readonly found: readonly Evidence[];
}

export function witnessedOf({ size, evidence }: EvidenceFacts): Witnessed {
  const verified = evidence.filter(({ what }) => what === "verified");
  return {
    size,
    verified: verified.find(({ against }) => against !== "itself") ?? verified[0] ?? null,
    anchored: evidence.find(({ what }) => what === "anchored") ?? null,
    found: evidence.filter(({ what }) => what === "found"),
  };
}
