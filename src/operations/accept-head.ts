import type { Tx } from "../db/database.ts";
import { originOf } from "../domain/checkpoint.ts";
import { MidctlError } from "../domain/errors.ts";
import { type KeptHead, writeKeptHead } from "../domain/kept-head.ts";
import { quote } from "../domain/visible.ts";
import { readBarred } from "../repository/overview.ts";
import { readTree } from "../repository/tree.ts";
import { refuseBarred } from "./decide.ts";
import { type Grown, readGrowth, readRoot } from "./log-head.ts";
import { foreign, type HeadFile, requireHead } from "./verifier/head-file.ts";

/** The head that verifiers keep, beside the one that the database has. */
export interface HeadComparison {
  readonly kept: KeptHead;
  /** As the file holds it. */
  readonly text: string;
  readonly found: KeptHead;
  readonly growth: Grown["growth"];
  /** Entries by index that were seen and are not there any more; `from` is null where nobody can tell since when. */
  readonly lost: { readonly from: number | null; readonly to: number } | null;
}

/**
 * Compares the head in a file with the database. Changes nothing.
 * @throws MidctlError `not_found` for a file that is not there, `usage` or `conflict` for one that holds something else or
 * another log's head, `unavailable` on a standby and where the database has moved
 */
export async function compareHead(db: Tx, file: HeadFile): Promise<HeadComparison> {
  const text = await file.read();
  if (text === null) {
    throw new MidctlError("not_found", `There is no head in ${quote(file.path)}; nothing was compared.`, {
      hint: "Give the file that midctl serve --head-file keeps.",
    });
  }
  const kept = requireHead(text, quote(file.path));
  const barred = await readBarred(db);
  if (barred !== null) throw refuseBarred(barred);
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  if (kept.origin !== origin) throw foreign(file.path, kept.origin, origin);
  const { growth, root } = await readGrowth(tree, kept);
  const found = {
    origin,
    size: tree.size,
    root: root ?? (await readRoot(tree)),
    accepted: kept.accepted + 1,
  };
  const from = growth === "shorter" ? tree.size : null;
  return { kept, text, found, growth, lost: growth === "goes_on" ? null : { from, to: kept.size - 1 } };
}

/**
 * Puts the database's head in the place of one that it does not go on from: what was lost is given up for lost, and verifiers that
 * keep their head in this file decide by the database again, within a second and as it is. The head before is added to
 * `PATH.before`.
 * @throws MidctlError `conflict` where the file was written to since it was compared
 */
export async function acceptHead(file: HeadFile, { text, found }: HeadComparison): Promise<void> {
  await file.replace(text, writeKeptHead(found));
}
