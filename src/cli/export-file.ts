/** A new file of JSON lines, on disk before anything is done that it was written for. */
import fs from "node:fs";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";

export interface ExportFile {
  write(line: object): void;
  /** Synced: what was written is there whatever happens next. */
  close(): void;
  /** Takes the file away again. */
  discard(): void;
}

const CROWD = 64 * 1024;

/** Throws `conflict` where there is a file, `usage` where there cannot be one. */
export function openExport(path: string): ExportFile {
  let descriptor: number;
  try {
    descriptor = fs.openSync(path, "wx", 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw code === "EEXIST"
      ? new MidctlError("conflict", `${quote(path)} exists and is not overwritten; nothing was removed.`, {
          hint: "Give --export a path that does not exist yet.",
        })
      : unusable(path, error);
  }
  let waiting = "";
  let open = true;
  const flush = () => {
    try {
      fs.writeFileSync(descriptor, waiting);
    } catch (error) {
      throw unusable(path, error);
    }
    waiting = "";
  };
  const end = () => {
    if (open) fs.closeSync(descriptor);
    open = false;
  };
  return {
    write(line) {
      waiting += `${JSON.stringify(line)}\n`;
      if (waiting.length >= CROWD) flush();
    },
    close() {
      flush();
      try {
        fs.fsyncSync(descriptor);
      } catch (error) {
        throw unusable(path, error);
      }
      end();
    },
    discard() {
      end();
      fs.rmSync(path, { force: true });
    },
  };
}

function unusable(path: string, error: unknown): MidctlError {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown";
  return new MidctlError("usage", `${quote(path)} could not be written (${code}); nothing was removed.`, {
    hint: "Give --export a path in a directory that you may write to, with room for the log.",
  });
}
