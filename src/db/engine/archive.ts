import { promisify } from "node:util";
import { type BrotliOptions, brotliCompressSync, brotliDecompress, constants } from "node:zlib";

/**
 * A data directory in one file: a length (4 bytes, big endian), an index in JSON, the files' bytes one after another,
 * all of it through brotli. Measured on a store of 300 files and 9 MB: 0.9 MB, 0.3 s to pack and 15 ms to unpack. The
 * highest quality made it 0.77 MB for 10 s and 48 ms, gzip 2.8 MB; and npm unpacks one file faster than hundreds.
 */
export interface Archive {
  /** The major version of PostgreSQL that made it. */
  readonly major: number;
  /** Relative, each before what lies in it. */
  readonly directories: readonly string[];
  readonly files: readonly { readonly path: string; readonly content: Uint8Array }[];
}

interface Index {
  readonly major: number;
  readonly directories: readonly string[];
  readonly files: readonly (readonly [path: string, size: number])[];
}

export function packArchive(archive: Archive): Uint8Array {
  const index: Index = {
    major: archive.major,
    directories: archive.directories,
    files: archive.files.map((file) => [file.path, file.content.length]),
  };
  const head = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const whole = Buffer.concat([length, head, ...archive.files.map((file) => file.content)]);
  const params: BrotliOptions["params"] = {
    [constants.BROTLI_PARAM_QUALITY]: 6,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: whole.length,
  };
  return brotliCompressSync(whole, { params });
}

/** Off the main thread, so that processes can be started meanwhile. */
export async function unpackArchive(packed: Uint8Array): Promise<Archive> {
  const whole = await promisify(brotliDecompress)(packed);
  const headEnd = 4 + whole.readUInt32BE(0);
  const index: Index = JSON.parse(whole.toString("utf8", 4, headEnd));
  let at = headEnd;
  const files = index.files.map(([path, size]) => {
    const content = whole.subarray(at, at + size);
    at += size;
    return { path, content };
  });
  return { major: index.major, directories: index.directories, files };
}
