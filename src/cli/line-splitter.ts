const LINE_FEED = 10;

/** Cuts bytes into lines; null for one that is too long. */
export class LineSplitter {
  readonly #longest: number;
  readonly #take: (line: Buffer | null) => void;
  #begun: Buffer[] = [];
  #length = 0;

  /** @param longest line, in bytes */
  constructor(longest: number, take: (line: Buffer | null) => void) {
    this.#longest = longest;
    this.#take = take;
  }

  push(chunk: Buffer): void {
    let at = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, at)) {
      this.#hold(chunk.subarray(at, end));
      this.#finish();
      at = end + 1;
    }
    if (at < chunk.length) this.#hold(chunk.subarray(at));
  }

  end(): void {
    if (this.#length > 0) this.#finish();
  }

  #hold(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#longest) this.#begun = [];
    else this.#begun.push(part);
  }

  #finish(): void {
    const [only] = this.#begun;
    const line = this.#begun.length === 1 && only !== undefined ? only : Buffer.concat(this.#begun);
    const tooLong = this.#length > this.#longest;
    this.#begun = [];
    this.#length = 0;
    this.#take(tooLong ? null : line);
  }
}
