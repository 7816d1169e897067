import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isUnsynced } from "../../db/directory.ts";
import { MidctlError } from "../../domain/errors.ts";
import { type KeptHead, parseKeptHead, supersedes } from "../../domain/kept-head.ts";
import { quote } from "../../domain/visible.ts";

/**
 * Where a verifier keeps the highest head of the log that it has seen: somewhere that is not restored together with the
 * database. The text is a checkpoint's (C2SP tlog-checkpoint), signed or not.
 */
export interface HeadStore {
  /** What is kept, or null where nothing ever was. Rejects where that cannot be told. */
  read(): Promise<string | null>;
  /**
   * Keeps this head, unless what is kept already supersedes it: several verifiers may share a store, and it never goes back.
   * Resolves when it is durable, rejects where it is not.
   */
  write(note: string): Promise<void>;
}

/** A head store that can be put back, by whoever accepts what a database has lost. */
export interface HeadFile extends HeadStore {
  readonly path: string;
  /**
   * Puts this head in the place of `before`, which is added to `PATH.before`.
   * @throws MidctlError `conflict` where something else than `before` is kept by now
   */
  replace(before: string, note: string): Promise<void>;
}

/** In bytes: of a file of signed checkpoints, of which the last counts. */
const LONGEST = 8 * 1_048_576;
/** ms that whoever writes is waited for, and after which he is taken for dead: it takes him a few. */
const WAIT = 3_000;
const DEAD = 10_000;
const LOOK_EVERY = 10;

/**
 * Keeps heads in a file, 0600, replaced whole and synced with its directory. Several processes may share it; they take turns by
 * `PATH.lock`.
 */
export function headFile(path: string): HeadFile {
  return {
    path,
    read: () => readText(path),
    write: (note) =>
      locked(path, async () => {
        const head = requireHead(note, "The head to be kept");
        const text = await readText(path);
        if (text !== null) {
          const kept = requireHead(text, quote(path));
          if (kept.origin !== head.origin) throw foreign(path, kept.origin, head.origin);
          if (!supersedes(head, kept)) return;
        }
        await replaceFile(path, note);
      }),
    replace: (before, note) =>
      locked(path, async () => {
        if ((await readText(path)) !== before) {
          throw new MidctlError(
            "conflict",
            `${quote(path)} was written to meanwhile; it is left as it is now.`,
            { hint: "Look again at what it holds: another verifier may see the whole log." },
          );
        }
        await append(`${path}.before`, path, `${before}\n`);
        await replaceFile(path, note);
      }),
  };
}

/** @throws MidctlError `usage` for what is no head; `what` begins the sentence, and what does not happen ends it */
export function requireHead(text: string, what: string, undone = "no token is decided on"): KeptHead {
  const head = parseKeptHead(text);
  if (head !== null) return head;
  throw new MidctlError("usage", `${what} is no head of a log; ${undone}.`, {
    hint: "A head is a checkpoint, as midctl audit checkpoint prints it. Look at what is there: only what never was one may be removed, for then nothing is remembered.",
  });
}

/** A head of another log says nothing about this one. */
export function foreign(where: string | null, kept: string, own: string): MidctlError {
  const place = where === null ? "The head that is kept" : `The head in ${quote(where)}`;
  return new MidctlError(
    "conflict",
    `${place} is of another log (${kept}, and this is ${own}); no token is decided on.`,
    { hint: "Give each database a head file of its own, and see whether this is the database you mean." },
  );
}

async function readText(path: string): Promise<string | null> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile()) throw unusable(path, "it is no plain file");
    if (found.size > LONGEST) throw unusable(path, "it is too large");
    return await file.readFile("utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw explain(path, error);
  } finally {
    await file?.close();
  }
}

/** One file or the other, and no half of one, whenever the machine stops. */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await leaveTo(file, path);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw explain(path, error);
  }
}

/** What root writes in a verifier's place stays the verifier's: to whom it belonged, or else whose directory it is in. */
async function leaveTo(file: FileHandle, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(path).catch(() => stat(dirname(path)));
  await file.chown(uid, gid);
}

/** @param beside whose file it is */
async function append(path: string, beside: string, text: string): Promise<void> {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
  try {
    const file = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      await leaveTo(file, beside);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(dirname(path));
  } catch (error) {
    throw explain(path, error);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } catch (error) {
    if (!isUnsynced(error)) throw error;
  } finally {
    await directory.close();
  }
}

/** While nobody else writes: what is read here is what is replaced. */
async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  await takeLock(path, lock);
  try {
    return await work();
  } finally {
    await rm(lock, { force: true }).catch(() => undefined);
  }
}

async function takeLock(path: string, lock: string): Promise<void> {
  for (const until = performance.now() + WAIT; ; await sleep(LOOK_EVERY)) {
    try {
      const file = await open(lock, "wx", 0o600);
      await file.writeFile(`${process.pid} on ${hostname()}\n`).finally(() => file.close());
      return;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw explain(path, error);
    }
    await breakLock(lock);
    if (performance.now() > until) {
      throw unusable(path, `${quote(lock)} is held by another process for longer than ${WAIT / 1000} s`);
    }
  }
}

/** The lock of a process that was killed goes. If it lives after all, what it writes is put right at the next write. */
async function breakLock(lock: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(lock);
    if (Date.now() - mtimeMs > DEAD) await rm(lock, { force: true });
  } catch {
    // It was let go of meanwhile.
  }
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof MidctlError) return error;
  if (isErrno(error, "ELOOP")) return unusable(path, "it is a symbolic link");
  return unusable(path, (error as NodeJS.ErrnoException).code ?? "unknown");
}

function unusable(path: string, why: string): MidctlError {
  return new MidctlError(
    "usage",
    `${quote(path)} cannot keep the log's head (${why}); no token is decided on.`,
    {
      hint: "Give a file in a directory of this process's own user, on a disk with room: what is not remembered cannot be missed.",
    },
  );
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
