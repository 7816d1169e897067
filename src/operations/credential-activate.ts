import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { claimTransaction } from "../repository/claim.ts";
import { type Credential, findCredential } from "../repository/credential.ts";
import { activate, recordUses } from "../repository/use.ts";
import { commitKnowingly, rehearse } from "./change.ts";
import { type Decision, decide, quickHash } from "./decide.ts";

export interface Used {
  readonly decision: Decision;
  /** Whether this very use activated the credential. */
  readonly activated: boolean;
}

/**
 * Uses a token: activates its credential if that is pending, which supersedes the predecessor in the same
 * transaction (SPEC §3). Whoever comes second finds it active. Throws where it cannot be written.
 */
export async function useToken(db: Database, token: string, scope: string | null): Promise<Used> {
  return (await db.transaction((tx) => useWithin(tx, token, scope))).result;
}

async function useWithin(
  tx: Tx,
  token: string,
  scope: string | null,
): Promise<{ transaction: string | null; result: Used }> {
  const looked = await decide(tx, token, scope);
  const { decision, publicId } = looked;
  if (!decision.ok || publicId === null || !looked.pending) {
    if (decision.ok && publicId !== null && looked.stale) await recordUses(tx, [publicId]);
    return { transaction: null, result: { decision, activated: false } };
  }
  const transaction = await claimTransaction(tx, {
    actor: { kind: "machine_identity", name: decision.actor.slug },
    reason: null,
  });
  // Under the identity's lock, which may have been waited for: what was decided before it is decided again.
  const activated = await activate(tx, { publicId, hash: quickHash(token) });
  if (activated) await recordUses(tx, [publicId]);
  const after = await decide(tx, token, scope);
  if (after.decision.ok && after.pending) {
    throw new MidctlError("unavailable", "The first use could not be written; nothing was activated.");
  }
  return { transaction, result: { decision: after.decision, activated } };
}

/** With the whole credential as it stands then, for people. */
async function useAndRead(tx: Tx, token: string) {
  const { transaction, result } = await useWithin(tx, token, null);
  const id = result.decision.ok ? result.decision.credential?.id : undefined;
  const credential = id === undefined ? null : await findCredential(tx, id.slice("mc_".length));
  return { transaction, result: { ...result, credential } };
}

/**
 * `credential activate`: the operator proves that the secret arrived, by using it. Throws `denied` for a token that
 * is not good, naming why.
 */
export async function activateCredential(
  db: Database,
  token: string,
  options: { readonly dryRun: boolean },
): Promise<{ changed: boolean; credential: Credential }> {
  const used = options.dryRun
    ? await rehearse(db, async (tx) => (await useAndRead(tx, token)).result)
    : await commitKnowingly(db, (tx) => useAndRead(tx, token));
  if (used.credential !== null) return { changed: used.activated, credential: used.credential };
  if (used.decision.ok) {
    throw new MidctlError(
      "conflict",
      "This is a legacy token: it has no credential to activate. Nothing was changed.",
      {
        hint: "identity adopt gives it an identity.",
      },
    );
  }
  throw new MidctlError("denied", `The token is not good: ${used.decision.code}. Nothing was activated.`, {
    hint:
      used.decision.code === "malformed"
        ? "Give the whole token, as it was printed."
        : "midctl credential show names its state.",
    details: { code: used.decision.code },
  });
}
