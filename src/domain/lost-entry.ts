import { fitReason } from "./names.ts";

/** What an entry of the log says, as far as it matters to whoever lost it. */
export interface LostEntry {
  readonly index: number;
  readonly action: string;
  readonly at: string;
  readonly actor: { readonly name: string | null } | null;
  readonly reason: string | null;
  readonly slug: string | null;
  readonly identity: string | null;
  readonly credential: string | null;
  readonly token: string | null;
  /** By whose leave, `ap_…`. */
  readonly approval: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Why it is done again: by which entry, and by whom and why it was done first; cut where that is longer than a reason may be. */
export function reasonAgain({
  entry,
  action,
  at,
  actor,
  reason,
}: Pick<LostEntry, "action" | "at" | "reason"> & {
  readonly entry: number;
  readonly actor: string | null;
}): string {
  const by = actor === null ? "" : ` by ${actor}`;
  const why = reason === null ? "" : `: ${reason}`;
  return fitReason(`log_${entry}, ${action} of ${at}${by}, which a restore had lost${why}`);
}

/** What a change of a field, `[before, after]`, set it to; undefined where it was not changed. */
export function afterOf(change: unknown): unknown {
  return Array.isArray(change) ? change[1] : undefined;
}
