import type { Tx } from "../db/database.ts";
import { originOf } from "../domain/checkpoint.ts";
import type { TrustRoot } from "../domain/trust.ts";
import { type Credential, findCredential } from "../repository/credential.ts";
import { readTree } from "../repository/tree.ts";
import { type Accepted, decide, quickHash, type Refused, refusal } from "./decide.ts";
import { readGrowth } from "./log-head.ts";
import { foreign, type HeadStore, requireHead } from "./verifier/head-file.ts";
import { Receipts } from "./verifier/receipts.ts";

/** A decision with the whole credential, for people. */
export type Verified = (Omit<Accepted, "credential"> & { readonly credential: Credential | null }) | Refused;

/** For each answer of the database about plans, ms. */
const PATIENCE = 30_000;

interface LookingBy {
  readonly trust?: TrustRoot | null;
  /** Whose head the log has to go on from; read alone. */
  readonly head?: Pick<HeadStore, "read"> | null;
}

/**
 * Is this token good, whose is it, and why not. Looks only: a pending token stays pending. Under a trust root it is
 * `unapproved` unless a signed plan in force names it so, and
 * `behind_checkpoint` where the log does not go on from a head that was kept. Throws `unavailable`; `usage` or `conflict` for a
 * head that is none, or another log's.
 */
export async function verifyToken(
  db: Tx,
  token: string,
  scope: string | null,
  { trust = null, head = null }: LookingBy = {},
): Promise<Verified> {
  const looked =
    trust === null
      ? await decide(db, token, scope)
      : await new Receipts(db, { patience: PATIENCE }).judge(
          trust,
          quickHash(token),
          await decide(db, token, null),
          scope,
        );
  const { decision, publicId } = looked;
  if (!decision.ok && decision.code === "malformed") return decision;
  if (head !== null && (await isBehind(db, head))) return refusal("behind_checkpoint");
  if (!decision.ok) return decision;
  const credential =
    decision.credential === null || publicId === null ? null : await findCredential(db, publicId);
  return { ...decision, credential };
}

async function isBehind(db: Tx, store: Pick<HeadStore, "read">): Promise<boolean> {
  const text = await store.read();
  if (text === null) return false;
  const kept = requireHead(text, "What is kept as the log's head");
  const tree = await readTree(db);
  const origin = originOf(tree.databaseId);
  if (kept.origin !== origin) throw foreign(null, kept.origin, origin);
  return (await readGrowth(tree, kept)).growth !== "goes_on";
}
