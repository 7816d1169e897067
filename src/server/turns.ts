export interface TurnLimits {
  /** How many at once. */
  readonly atOnce: number;
  /** How many at once or waiting. */
  readonly admitted: number;
}

/**
 * Who may do at once what costs a server much, and who has to wait: few at a time, fewer for each key, so that no key
 * keeps the others out. First come, first served.
 */
export class Turns {
  readonly #all: TurnLimits;
  readonly #each: TurnLimits;
  readonly #keys = new Map<string, { running: number; admitted: number }>();
  readonly #waiting: { readonly key: string; readonly begin: () => void }[] = [];
  #running = 0;
  #admitted = 0;

  constructor(all: TurnLimits, each: TurnLimits) {
    this.#all = all;
    this.#each = each;
  }

  /**
   * Resolves when its turn has come, with what ends it. Says at once who has too many as it is: `key`, or `all` together.
   */
  take(key: string): Promise<() => void> | "key" | "all" {
    const own = this.#keys.get(key) ?? { running: 0, admitted: 0 };
    if (own.admitted >= this.#each.admitted) return "key";
    if (this.#admitted >= this.#all.admitted) return "all";
    this.#keys.set(key, own);
    own.admitted += 1;
    this.#admitted += 1;
    return new Promise((resolve) => {
      this.#waiting.push({ key, begin: () => resolve(() => this.#leave(key)) });
      this.#next();
    });
  }

  #leave(key: string): void {
    this.#running -= 1;
    this.#admitted -= 1;
    const own = this.#keys.get(key);
    if (own !== undefined) {
      own.running -= 1;
      own.admitted -= 1;
      if (own.admitted === 0) this.#keys.delete(key);
    }
    this.#next();
  }

  #next(): void {
    while (this.#running < this.#all.atOnce) {
      const at = this.#waiting.findIndex(
        ({ key }) => (this.#keys.get(key)?.running ?? 0) < this.#each.atOnce,
      );
      const [next] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (next === undefined) return;
      const own = this.#keys.get(next.key);
      if (own !== undefined) own.running += 1;
      this.#running += 1;
      next.begin();
    }
  }
}
