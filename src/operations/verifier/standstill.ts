import type { Verifier } from "../../repository/verifier.ts";

/**
 * Tells dead verifiers from living ones by watching their renewals stand still for the length of their lease, by the
 * watcher's own steady clock. A verifier reckons from before its renewal was written, so by then it has stopped.
 */
export class StandstillWatch {
  readonly #seen = new Map<string, { readonly renewals: string; readonly since: number }>();

  /**
   * @param verifiers as they were read by now
   * @param now ms of the steady clock, taken after the answer came
   * @returns those whose lease has run out
   */
  observe(verifiers: readonly Verifier[], now: number): Verifier[] {
    const present = new Set(verifiers.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
    return verifiers.filter(({ id, renewals, leaseMs }) => {
      const seen = this.#seen.get(id);
      if (seen?.renewals === renewals) return now - seen.since >= leaseMs;
      this.#seen.set(id, { renewals, since: now });
      return false;
    });
  }
}
