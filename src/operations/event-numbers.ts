import type { Numbers, Writers } from "../repository/follow.ts";

/** A range of numbers of which nothing has been seen: rolled back, or of a transaction that has not ended. */
interface Hole {
  readonly from: bigint;
  readonly to: bigint;
  /** Who wrote when it was first looked into; null until then. */
  writers: Writers | null;
  /** None of these writes any more: what is not there at the next look never comes. */
  settled: boolean;
}

/**
 * Which of the agents' events have been seen. They are numbered as they are written and come to be seen as their transactions
 * commit, in any order: a number that was passed over is looked for until none of the transactions that wrote by then is left.
 */
export class EventNumbers {
  #top: bigint;
  #holes: Hole[] = [];

  /** @param top the highest number that counts as seen */
  constructor(top: string) {
    this.#top = BigInt(top);
  }

  /** Whether there may be something to read. @param top the highest number that can be seen */
  isBehind(top: string): boolean {
    return BigInt(top) > this.#top || this.#holes.length > 0;
  }

  get hasHoles(): boolean {
    return this.#holes.length > 0;
  }

  /** What to read. @param top the highest number that can be seen */
  wanted(top: string): Numbers[] {
    const holes = this.#holes.map(({ from, to }) => ({ from: String(from), to: String(to) }));
    return BigInt(top) > this.#top ? [...holes, { from: String(this.#top + 1n), to: top }] : holes;
  }

  /**
   * Takes in what a reading of `wanted` has brought, lowest first.
   * @param whole whether it brought all that could be seen; what was settled before it and did not come is then forgotten
   */
  take(numbers: readonly string[], whole: boolean): void {
    for (const number of numbers) this.#see(BigInt(number));
    if (whole) this.#holes = this.#holes.filter(({ settled }) => !settled);
  }

  /** Counts as not seen what is missing in a range up to the top. @param numbers those that are there, lowest first */
  miss({ from, to }: Numbers, numbers: readonly string[]): void {
    let next = BigInt(from);
    for (const number of [...numbers.map(BigInt), BigInt(to) + 1n]) {
      if (number > next) this.#holes.push(hole(next, number - 1n));
      next = number + 1n;
    }
  }

  /** Learns who writes now, which has to be asked after the last reading. */
  settle(now: Writers): void {
    const writing = new Set(now.writing);
    for (const one of this.#holes) {
      if (one.writers === null) one.writers = now;
      one.settled ||=
        !one.writers.writing.some((name) => writing.has(name)) &&
        BigInt(now.ended) >= BigInt(one.writers.next);
    }
  }

  #see(number: bigint): void {
    if (number > this.#top) {
      if (number > this.#top + 1n) this.#holes.push(hole(this.#top + 1n, number - 1n));
      this.#top = number;
      return;
    }
    this.#holes = this.#holes.flatMap((one) => {
      if (number < one.from || number > one.to) return [one];
      const rest: Hole[] = [];
      if (number > one.from) rest.push({ ...one, to: number - 1n });
      if (number < one.to) rest.push({ ...one, from: number + 1n });
      return rest;
    });
  }
}

function hole(from: bigint, to: bigint): Hole {
  return { from, to, writers: null, settled: false };
}
