/** What a campaign counted, and what it found that must not be. */
export class Tally {
  readonly kills = { before: 0, after: 0, missed: 0 };
  readonly moments: Record<string, { before: number; after: number }> = {};
  readonly verbs: Record<string, number> = {};
  readonly server = { whole: 0, postmaster: 0, acknowledged: 0, refused: 0, unknown: 0 };
  cold = 0;
  acknowledged = 0;
  retries = { tried: 0, converged: 0 };
  lostRotations = { tried: 0, working: 0 };
  readonly violations: Violation[] = [];
  readonly #seen = new Set<string>();

  kill(verb: string, moment: string, outcome: "before" | "after"): void {
    this.kills[outcome] += 1;
    this.verbs[verb] = (this.verbs[verb] ?? 0) + 1;
    const counts = this.moments[moment] ?? { before: 0, after: 0 };
    this.moments[moment] = counts;
    counts[outcome] += 1;
  }

  /** Notes a violation; the same one found again in later rounds counts once. */
  violate(round: number, kind: ViolationKind, what: string): Violation | null {
    if (this.#seen.has(what)) return null;
    this.#seen.add(what);
    const violation = { round, kind, what };
    this.violations.push(violation);
    return violation;
  }

  count(kind: ViolationKind): number {
    return this.violations.filter((violation) => violation.kind === kind).length;
  }
}

export type ViolationKind = "lost" | "unreceived" | "half-made" | "retry" | "rotation" | "exit";

export interface Violation {
  readonly round: number;
  readonly kind: ViolationKind;
  readonly what: string;
}
