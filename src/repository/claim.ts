import type { Tx } from "../db/database.ts";

/** Who acts, as they say, and why. The log keeps it beside `session_user`, which nobody can claim. */
export interface Claim {
  readonly actor: { readonly kind: ActorKind; readonly name: string };
  readonly reason: string | null;
  readonly approval?: string | null;
}

export type ActorKind = "operator" | "machine_identity" | "legacy_token" | "host";

/** Says for the rest of the transaction who acts and why; every log entry it appends carries that. */
export async function claimTransaction(tx: Tx, claim: Claim): Promise<void> {
  await tx.query(`SELECT set_config('midctl.context', $1, true)`, [
    JSON.stringify({ actor: claim.actor, reason: claim.reason, approval: claim.approval ?? null }),
  ]);
}
