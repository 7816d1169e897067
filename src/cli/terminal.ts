/**
 * The one file that touches stdin, stdout and stderr. Rules of the house:
 * results go to stdout, everything else to stderr; a write has happened when its promise resolves; nothing is asked
 * unless both stdin and stderr are terminals.
 *
 * Writes go to the descriptors by `writeSync`: Node's streams swallow short writes on a full disk, and cut piped
 * output when the process exits.
 */
import { fstatSync, fsyncSync, statSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { MidctlError } from "../domain/errors.ts";

export interface Terminal {
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Width of the terminal behind stdout or, where that is none, stderr, in columns. */
  columns(): number;
  /** Its height, in rows. */
  rows(): number;
  /** Writes a result; rejects with OutputFailure when it did not get out whole. */
  writeResult(text: string): Promise<void>;
  /** As writeResult, for a secret: also refuses the null device, and flushes a file to its disk. */
  writeSecret(text: string): Promise<void>;
  /** Writes a message to stderr. Never fails: there is nobody left to tell. */
  writeMessage(text: string): void;
  /** A line on stderr, a terminal, that gives way to whatever is written next. */
  writeProgress(text: string): void;
  /** All of stdin as text; usage error beyond `limit` bytes. */
  readInput(limit: number): Promise<string>;
  /** stdin as it comes, to its end. */
  readChunks(): AsyncIterable<Buffer>;
}

/** stdout did not take what was written. */
export class OutputFailure extends Error {
  /** EPIPE, ENOSPC, EIO, …, or ENULL for the null device, which takes everything and delivers nothing. */
  readonly errno: string;

  constructor(errno: string, cause?: unknown) {
    super(`stdout: ${errno}`, { cause });
    this.errno = errno;
  }
}

export function openTerminal(): Terminal {
  const stdoutIsTerminal = isatty(1);
  const stderrIsTerminal = isatty(2);
  let drawn = false;
  const toStderr = (text: string): void => {
    try {
      writeSync(2, text);
    } catch {
      // stderr is gone; the exit code still tells.
    }
  };
  const clear = (): void => {
    if (drawn) toStderr("\r\x1b[K");
    drawn = false;
  };
  return {
    stdinIsTerminal: isatty(0),
    stdoutIsTerminal,
    stderrIsTerminal,
    columns: () =>
      (stdoutIsTerminal ? process.stdout.columns : stderrIsTerminal ? process.stderr.columns : 80) || 80,
    rows: () => (stdoutIsTerminal ? process.stdout.rows : 24) || 24,
    writeResult: (text) =>
      asOutput(() => {
        clear();
        return writeWhole(1, text);
      }),
    writeSecret: (text) =>
      asOutput(async () => {
        clear();
        refuseNullDevice();
        await writeWhole(1, text);
        flushFile(1);
      }),
    writeMessage: (text) => {
      clear();
      toStderr(text);
    },
    writeProgress: (text) => {
      toStderr(`\r${text}\x1b[K`);
      drawn = true;
    },
    readInput: (limit) => readWhole(limit),
    readChunks,
  };
}

async function asOutput(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw error instanceof OutputFailure ? error : new OutputFailure(errnoOf(error) ?? "unknown", error);
  }
}

async function writeWhole(descriptor: number, text: string): Promise<void> {
  const bytes = Buffer.from(text, "utf8");
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
      await pause(); // a pipe that somebody made non-blocking, and that is full
    }
  }
}

/** By the event loop: a blocking read would keep Ctrl-C waiting for the end of input. */
async function* readChunks(): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of process.stdin) yield chunk;
  } catch (error) {
    throw new MidctlError("usage", `stdin cannot be read (${errnoOf(error)}); nothing was done`, {
      cause: error,
    });
  }
}

async function readWhole(limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of readChunks()) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit) break;
  }
  if (length > limit)
    throw new MidctlError("usage", `stdin holds more than ${limit} bytes; nothing was done`, {
      hint: "look at what stands before the |, or do it in parts",
    });
  return Buffer.concat(chunks).toString("utf8");
}

/** Node opens a closed stdout as the null device: a secret written there reaches nobody. */
function refuseNullDevice(): void {
  const stdout = fstatSync(1);
  if (!stdout.isCharacterDevice()) return;
  const nullDevice = statSync("/dev/null", { throwIfNoEntry: false });
  if (nullDevice !== undefined && nullDevice.rdev === stdout.rdev) {
    throw new OutputFailure("ENULL");
  }
}

function flushFile(descriptor: number): void {
  if (!fstatSync(descriptor).isFile()) return;
  try {
    fsyncSync(descriptor);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== "EINVAL" && errno !== "ENOTSUP") throw error;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

/** The errno name of a system error, `undefined` for any other. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof MidctlError) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" ? code : undefined;
}
