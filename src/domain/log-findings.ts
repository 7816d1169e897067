/**
 * What is wrong with a log, named: from entries that are missing, changed or at another one's place to what somebody did. Entries are
 * meant by index, from 0.
 */

export const FINDING_KINDS = [
  "altered",
  "removed",
  "inserted",
  "reordered",
  "truncated",
  "restored",
  "rewritten",
  "tree",
  "foreign",
  // Of agent events, and not of entries.
  "event_altered",
  "event_removed",
  "event_inserted",
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  readonly kind: FindingKind;
  /** The first entry that it is about; null where it is about none. */
  readonly from: number | null;
  /** The last one. */
  readonly to: number | null;
  /** The agent event that it is about, `ev_…`; null where it is about none, or about several. */
  readonly event: string | null;
  /** In a sentence. */
  readonly says: string;
}

/** So many are told one by one; of the others only how many there are. */
export const MOST_FINDINGS = 100;
/** So many runs are kept apart. */
const MOST_RUNS = 1_000;

/** Neighbours of which the same is true. */
interface Run {
  readonly from: number;
  to: number;
}
/** Neighbours that lie as far from their own place: entry `from + shift` at `from`, and so on. */
interface Shifted extends Run {
  readonly shift: number;
}

/** What lies outside of what the head says, at one moment: nothing, where nobody wrote there by hand. */
export interface Beyond {
  readonly entries: number;
  /** The first of them and the last one. */
  readonly first: number | null;
  readonly last: number | null;
  /** Tiles, of any level. */
  readonly tiles: number;
}

interface ComparedHead {
  readonly size: number;
  /** Whether the stored tree has this head, and whether the entries as they lie there do. */
  readonly stored: boolean;
  readonly lying: boolean;
  /** The last head before it that both have. */
  readonly anchored: number;
}

export class Findings {
  /** Of the log, as its head says it. */
  readonly size: number;
  readonly #altered: Run[] = [];
  readonly #missing: Run[] = [];
  readonly #moved: Shifted[] = [];
  readonly #tree: Run[] = [];
  readonly #foreign = new Set<string>();
  /** Of no entry in particular. */
  readonly #around: Finding[] = [];
  #rewritten: Run | null = null;
  /** Entries up to here are those that a head vouches for, whatever the tree says. */
  #genuine = 0;
  #beyond: Beyond = { entries: 0, first: null, last: null, tiles: 0 };
  #seen = 0;
  /** Entries before this one were held against hashes from elsewhere, and not against the tree. */
  readonly #exported: number;
  /** Runs that are not kept. */
  #more = 0;

  constructor(size: number, exported = 0) {
    this.size = size;
    this.#exported = exported;
  }

  altered(index: number): void {
    this.#extend(this.#altered, index, index);
  }

  missing(from: number, to = from): void {
    this.#extend(this.#missing, from, to);
  }

  /** The entry of `place` lies at `index`. */
  moved(index: number, place: number): void {
    const last = this.#moved.at(-1);
    const shift = place - index;
    if (last !== undefined && last.to === index - 1 && last.shift === shift) last.to = index;
    else if (this.#moved.length < MOST_RUNS) this.#moved.push({ from: index, to: index, shift });
    else this.#more++;
  }

  /** The entry of `place` lies at `index`, outside of what the head says. A copy of one that is in its place moved nothing. */
  movedOut(index: number, place: number): void {
    const isVacant = [...this.#altered, ...this.#missing, ...this.#moved].some((run) =>
      holds(run, { from: place, to: place }),
    );
    if (isVacant) this.moved(index, place);
  }

  /** Stored hashes over these entries do not fit one another. */
  tree(from: number, to: number): void {
    const last = this.#tree.at(-1);
    // A wrong hash is wrong in all that lie above it.
    if (last !== undefined && from <= last.from && to >= last.to) return;
    this.#extend(this.#tree, from, to);
  }

  foreign(origin: string): void {
    this.#foreign.add(origin);
  }

  /** What holds the entries is not as it was made. */
  around(kind: "altered" | "tree", says: string): void {
    this.#around.push({ kind, from: null, to: null, event: null, says });
  }

  head({ size, stored, lying, anchored }: ComparedHead): void {
    if (!stored && lying) this.#genuine = size;
    if (!stored && !lying) this.#rewritten ??= { from: anchored, to: size - 1 };
  }

  /** @param seen how many entries the largest head that was kept elsewhere saw */
  end({ beyond, seen }: { readonly beyond: Beyond; readonly seen: number }): void {
    this.#beyond = beyond;
    this.#seen = seen;
  }

  result(): { readonly findings: readonly Finding[]; readonly found: number } {
    const findings = [...this.#resolve()];
    return { findings: findings.slice(0, MOST_FINDINGS), found: findings.length + this.#more };
  }

  *#resolve(): Generator<Finding> {
    for (const origin of this.#foreign)
      yield {
        kind: "foreign",
        from: null,
        to: null,
        event: null,
        says: `what it was compared with is of another log, ${origin}`,
      };
    yield* this.#around;
    // Where hashes above it do not fit either, what was changed is the tree; an entry changed alone leaves the tree as it was.
    const isOfTree = (run: Run): boolean =>
      run.from >= this.#exported && (run.to < this.#genuine || this.#tree.some((each) => holds(each, run)));
    // By hashes from elsewhere it is known which entries are wrong: then the tree over them has to be.
    const wrong = [...this.#altered, ...this.#missing, ...this.#moved].filter(
      ({ from }) => from < this.#exported,
    );
    const tree = this.#tree.filter((each) => !wrong.some((run) => overlaps(each, run)));
    let altered = this.#altered.filter((run) => !isOfTree(run));
    const below = this.#altered.filter(isOfTree);
    const unfit = [...below, ...tree.filter((each) => !below.some((run) => holds(each, run)))];
    let missing = [...this.#missing];
    let beyond = this.#beyond.entries;

    if (isPermutation(this.#moved)) {
      const [from, to] = [
        Math.min(...this.#moved.map((run) => run.from)),
        Math.max(...this.#moved.map((run) => run.to)),
      ];
      yield told("reordered", { from, to }, "changed places");
    } else {
      for (const run of this.#moved) {
        if (run.shift > 0) {
          const gone = { from: run.from, to: run.from + run.shift - 1 };
          yield told("removed", gone, "removed, and what follows was numbered anew");
          // Numbered anew, the log is shorter by as many.
          missing = missing.filter(({ from, to }) => from !== run.to + 1 || to - from + 1 !== run.shift);
        } else {
          const put = { from: run.from + run.shift, to: run.from - 1 };
          yield told("inserted", put, "put in, and what follows was numbered anew");
          altered = altered.filter((each) => !holds(put, each));
          if (beyond === -run.shift) beyond = 0;
        }
      }
    }
    for (const run of missing) {
      if (run.to === this.size - 1) yield told("truncated", run, "missing at the end of the log");
      else yield told("removed", run, "removed");
    }
    // So it looks, too, where a log that was restored has gone on.
    const last = Math.min(this.size, this.#exported) - 1;
    for (const run of altered)
      yield told("altered", run, run.to === last ? "altered, or written after a restore" : "altered");
    const { first, last: end } = this.#beyond;
    if (beyond > 0 && first !== null && end !== null)
      yield told("inserted", { from: first, to: end }, "put in outside of what the head says");
    for (const run of unfit)
      yield told(
        "tree",
        run,
        "as they were, but the tree over them does not fit",
        "as it was, but the tree over it does not fit",
      );
    yield* this.#resolveHeads(beyond > 0);
  }

  *#resolveHeads(goesOn: boolean): Generator<Finding> {
    const isSound =
      this.#altered.length + this.#missing.length + this.#moved.length + this.#tree.length === 0;
    if (this.#rewritten !== null && isSound) {
      const { from, to } = this.#rewritten;
      yield told(
        "rewritten",
        { from, to },
        "not what a checkpoint saw: rewritten with the tree, or written after a restore",
      );
    }
    if (this.#seen <= this.size) {
      if (this.#beyond.tiles > 0 && !goesOn)
        yield {
          ...{ kind: "tree", from: null, to: null, event: null },
          says: "the tree has hashes of entries behind the last one: what followed was cut off, or they were put in",
        };
      return;
    }
    const run = { from: this.size, to: this.#seen - 1 };
    const left = goesOn || this.#beyond.tiles > 0;
    if (left) yield told("truncated", run, "cut off; traces of what followed are left");
    else if (isSound)
      yield told(
        "restored",
        run,
        "unknown here: the database was restored from before, or cut off. If it has gone on since, more of them are",
      );
    else yield told("truncated", run, "cut off, or unknown since a restore");
  }

  #extend(runs: Run[], from: number, to: number): void {
    const last = runs.at(-1);
    if (last !== undefined && last.to === from - 1) last.to = to;
    else if (runs.length < MOST_RUNS) runs.push({ from, to });
    else this.#more++;
  }
}

function holds(run: Run, { from, to }: Run): boolean {
  return run.from <= from && run.to >= to;
}

function overlaps(a: Run, b: Run): boolean {
  return a.from <= b.to && b.from <= a.to;
}

/** Whether these entries only changed places among one another. */
function isPermutation(moved: readonly Shifted[]): boolean {
  if (moved.length === 0) return false;
  const own = moved.map(({ from, to, shift }) => ({ from: from + shift, to: to + shift }));
  const places = (runs: readonly Run[]) => JSON.stringify(joined(runs).map(({ from, to }) => [from, to]));
  return places(own) === places(moved);
}

function joined(runs: readonly Run[]): Run[] {
  const whole: Run[] = [];
  for (const { from, to } of [...runs].sort((a, b) => a.from - b.from)) {
    const last = whole.at(-1);
    if (last !== undefined && last.to === from - 1) last.to = to;
    else whole.push({ from, to });
  }
  return whole;
}

function told(kind: FindingKind, { from, to }: Run, many: string, one = many): Finding {
  const who = from === to ? `entry ${from} is` : `entries ${from} to ${to} are`;
  const what = from === to ? one : many;
  return {
    kind,
    from,
    to,
    event: null,
    says: kind === "reordered" ? `entries ${from} to ${to} ${what}` : `${who} ${what}`,
  };
}
