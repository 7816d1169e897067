import { closeSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { type Authentication, type Instant, OUTCOMES, type Outcome } from "./history.ts";

/** Bytes of one record: start and end as doubles, the credential, the outcome, whether forged, two spare. */
const SIZE = 24;
const CROWD = 4_096;

/**
 * Appends authentications to a file of the verifier's own: 24 bytes each, in one write per turn of its event loop, so
 * that recording costs little and a SIGKILL loses no more than that turn.
 */
export class Recorder {
  readonly #file: number;
  readonly #buffer = Buffer.alloc(SIZE * CROWD);
  #used = 0;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  note(credential: number, forged: boolean, start: Instant, end: Instant, outcome: Outcome): void {
    if (this.#used === 0) setImmediate(() => this.#flush());
    const at = this.#used;
    this.#buffer.writeDoubleLE(start, at);
    this.#buffer.writeDoubleLE(end, at + 8);
    this.#buffer.writeUInt32LE(credential, at + 16);
    this.#buffer.writeUInt8(OUTCOMES.indexOf(outcome), at + 20);
    this.#buffer.writeUInt8(forged ? 1 : 0, at + 21);
    this.#used += SIZE;
    if (this.#used === this.#buffer.length) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    if (this.#used > 0) writeSync(this.#file, this.#buffer, 0, this.#used);
    this.#used = 0;
  }
}

/** How many authentications a file holds so far; none where there is no file yet. */
export function countRecords(path: string): number {
  return Math.floor((statSync(path, { throwIfNoEntry: false })?.size ?? 0) / SIZE);
}

/** What one verifier process recorded, in the order of the answers; one that was killed before it began has no file. */
export function* readRecords(path: string, verifier: number): Generator<Authentication> {
  if (countRecords(path) === 0) return;
  const bytes = readFileSync(path);
  for (let at = 0; at + SIZE <= bytes.length; at += SIZE) {
    yield {
      verifier,
      start: bytes.readDoubleLE(at),
      end: bytes.readDoubleLE(at + 8),
      credential: bytes.readUInt32LE(at + 16),
      outcome: OUTCOMES[bytes.readUInt8(at + 20)] ?? "other",
      forged: bytes.readUInt8(at + 21) === 1,
    };
  }
}
