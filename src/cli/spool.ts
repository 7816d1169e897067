import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MidctlError } from "../domain/errors.ts";
import type { Spool } from "../operations/import-file.ts";

/** So much stays in memory; what is more goes to disk. */
const HELD = 4 * 1024 * 1024;

/**
 * Keeps text out of memory: a file in the temporary directory that has no name from its first moment on, so that nobody
 * else opens it and nothing stays behind. Little text never leaves memory.
 */
export function openSpool(): Spool & { close(): void } {
  const held = Buffer.allocUnsafe(HELD);
  let [length, written] = [0, 0];
  let file: number | null = null;
  const flush = (): void => {
    file ??= openNameless();
    guarded(() => {
      for (let done = 0; done < length; ) done += writeSync(file as number, held, done, length - done);
    });
    written += length;
    length = 0;
  };
  return {
    append(text) {
      const position = written + length;
      // No character is longer than three bytes for each of its units.
      if (length + text.length * 3 > HELD) flush();
      const size = held.write(text, length);
      length += size;
      return { position, size };
    },
    read(position, size) {
      if (file === null) return held.toString("utf8", position, position + size);
      if (length > 0) flush();
      const descriptor = file;
      const bytes = Buffer.allocUnsafe(size);
      guarded(() => {
        for (let done = 0; done < size; ) {
          const read = readSync(descriptor, bytes, done, size - done, position + done);
          if (read === 0) throw Object.assign(new Error("cut short"), { code: "EIO" });
          done += read;
        }
      });
      return bytes.toString("utf8");
    },
    close() {
      if (file !== null) closeSync(file);
      file = null;
    },
  };
}

function openNameless(): number {
  return guarded(() => {
    const path = join(tmpdir(), `midctl-import-${globalThis.crypto.randomUUID()}`);
    const file = openSync(path, "wx+", 0o600);
    rmSync(path);
    return file;
  });
}

function guarded<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new MidctlError(
      "unavailable",
      `The temporary directory ${tmpdir()} cannot hold what is imported (${code}); nothing was imported.`,
      { hint: "Make room there, or name another in TMPDIR.", cause: error },
    );
  }
}
