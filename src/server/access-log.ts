import type { Exchange } from "./exchange.ts";
import { encodeHeader } from "./header-value.ts";

/** Lines are written together: a write each would cost more than a decision. ms, and characters. */
const FLUSH_WITHIN = 100;
const FLUSH_AT = 16_384;

/**
 * One line a request: time, method, path, status, milliseconds, actor. The path is one of the server's own and the method
 * one that HTTP knows, so no line holds anything that a client made up; query, headers and body are never looked at.
 */
export class AccessLog {
  readonly #write: (lines: string) => void;
  readonly #now: () => number;
  #second = 0;
  #prefix = "";
  #lines = "";
  #timer: NodeJS.Timeout | undefined;

  /** @param now wall clock, ms */
  constructor(write: (lines: string) => void, now: () => number) {
    this.#write = write;
    this.#now = now;
  }

  note(method: string, exchange: Exchange, status: number, milliseconds: number): void {
    this.#lines += `${this.#time()} ${method} ${exchange.route ?? "(other)"} ${status} ${milliseconds.toFixed(2)} ${exchange.actor === null ? "-" : encodeHeader(exchange.actor)}\n`;
    if (this.#lines.length > FLUSH_AT) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_WITHIN);
  }

  /** RFC 3339, its seconds rendered once: a date's text costs more than the rest of the line. */
  #time(): string {
    const now = this.#now();
    const second = Math.floor(now / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(now).toISOString().slice(0, -4);
    }
    return `${this.#prefix}${String(now % 1_000).padStart(3, "0")}Z`;
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#lines;
    this.#lines = "";
    if (lines !== "") this.#write(lines);
  }
}
