/**
 * The wire format of SSH (RFC 4251 §5), read strictly: lengths that fit, numbers in their shortest form, nothing left over.
 * A reader that has met anything else stays at fault; ask `done` once, at the end.
 */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;
  #broken = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** So many bytes as they are. */
  take(length: number): Buffer {
    if (this.#broken || length > this.#bytes.length - this.#at) {
      this.#broken = true;
      return Buffer.alloc(0);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A `uint32`. */
  number(): number {
    const bytes = this.take(4);
    return this.#broken ? 0 : bytes.readUInt32BE();
  }

  /** A `string`: four bytes of length, then so many bytes. */
  string(): Buffer {
    return this.take(this.number());
  }

  /** A `string` of visible ASCII; any other is a fault. */
  text(): string {
    const text = this.string().toString("latin1");
    if (!/^[\x20-\x7e]*$/.test(text)) this.#broken = true;
    return text;
  }

  /** A positive `mpint` without its sign byte; zero, a negative and a needless zero byte in front are faults. */
  positive(): Buffer {
    const bytes = this.string();
    const [first = 0, second = 0] = bytes;
    const signed = first === 0 && bytes.length > 1 && second >= 0x80;
    if (bytes.length === 0 || first >= 0x80 || (first === 0 && !signed)) this.#broken = true;
    return signed ? bytes.subarray(1) : bytes;
  }

  /** Whether everything was as asked for, and nothing is left. */
  done(): boolean {
    return !this.#broken && this.#at === this.#bytes.length;
  }
}

/** A `string` of these bytes. */
export function wireString(bytes: Uint8Array | string): Buffer {
  const content = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  return Buffer.concat([length, content]);
}

/** The bytes of a base64 text in its one spelling: padded, no whitespace, no stray bits. null for any other. */
export function fromBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, "base64");
  return text !== "" && bytes.toString("base64") === text ? bytes : null;
}
