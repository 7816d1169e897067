/** What an entry of the log says, as far as it matters to whoever lost it. */
export interface LostEntry {
  readonly index: number;
  readonly action: string;
  readonly at: string;
  readonly slug: string | null;
  readonly identity: string | null;
  readonly credential: string | null;
  readonly token: string | null;
  /** By whose leave, `ap_…`. */
  readonly approval: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What a change of a field, `[before, after]`, set it to; undefined where it was not changed. */
export function afterOf(change: unknown): unknown {
  return Array.isArray(change) ? change[1] : undefined;
}
