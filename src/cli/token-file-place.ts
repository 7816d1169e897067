/** Where a token file lies, and what its disk says: whose directory it is, and why nothing can be written there. */
import fs from "node:fs";
import path from "node:path";
import { MidctlError } from "../domain/errors.ts";
import { containsSecret } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";

const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/** Where the file lies: its directory with every link resolved and judged, and its name in it. */
export interface Target {
  readonly shown: string;
  readonly directory: string;
  readonly path: string;
}

export function locate(file: string): Target {
  if (containsSecret(file) || file.startsWith("mid_")) {
    throw new MidctlError("usage", "A token was given as --token-file; nothing was changed.", {
      hint: "Give the path of a file. Treat that token as leaked: midctl revoke --token-stdin",
    });
  }
  if (file === "-") {
    throw new MidctlError("usage", "--token-file takes the path of a file.", {
      hint: "Leave it out, and the token goes to standard output.",
    });
  }
  const name = path.basename(file);
  if (file === "" || file.includes("\0") || /[/]$|(?:^|\/)\.{1,2}$/.test(file)) {
    throw new MidctlError("usage", `${quote(file)} is not the path of a file.`, {
      hint: "Give a file's name, such as ./codex.token.",
    });
  }
  const shown = quote(file);
  const directory = resolveDirectory(path.dirname(file), shown);
  return { shown, directory, path: path.join(directory, name) };
}

/**
 * The directory without links. O_NOFOLLOW guards the last name only, so every link on the way must belong to root or
 * to us: another's link could lead the secret elsewhere. A directory that anyone may write to must be sticky.
 */
function resolveDirectory(directory: string, shown: string): string {
  try {
    // Name by name, as the kernel walks: `link/..` is the parent of where the link leads.
    let resolved = path.isAbsolute(directory) ? path.parse(directory).root : process.cwd();
    const rest = directory.split(path.sep).filter(Boolean);
    for (let links = 0; rest.length > 0; ) {
      const next = path.resolve(resolved, rest.shift() as string);
      const stats = fs.lstatSync(next);
      if (!stats.isSymbolicLink()) {
        resolved = next;
        continue;
      }
      if (!isTrustedOwner(stats.uid) || ++links > 40) {
        throw new MidctlError(
          "conflict",
          `The path ${shown} leads through a link of another user: ${quote(next)}.`,
          {
            hint: "Give the path of the directory itself. No token was written.",
          },
        );
      }
      const destination = fs.readlinkSync(next);
      if (path.isAbsolute(destination)) resolved = path.parse(destination).root;
      rest.unshift(...destination.split(path.sep).filter(Boolean));
    }
    const stats = fs.statSync(resolved);
    if (!stats.isDirectory()) throw missingDirectory(directory, shown);
    if ((stats.mode & WORLD_WRITABLE) !== 0 && (stats.mode & STICKY) === 0) {
      throw new MidctlError("conflict", `Anyone may replace files in the directory of ${shown}.`, {
        hint: `No token was written. Use a private directory, or: chmod o-w ${quote(directory)}`,
      });
    }
    return resolved;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") throw missingDirectory(directory, shown);
    if (code === "ENAMETOOLONG") throw new MidctlError("usage", `The path ${shown} is too long.`);
    throw asUndeliverable(error, shown);
  }
}

function missingDirectory(directory: string, shown: string): MidctlError {
  return new MidctlError("usage", `The directory of ${shown} does not exist. No token was written.`, {
    hint: `Make it first: mkdir -m 700 ${quote(directory)}`,
  });
}

export function asUndeliverable(error: unknown, shown: string): MidctlError {
  if (error instanceof MidctlError) return error;
  const code = errnoOf(error);
  if (code === null) throw error;
  return new MidctlError(
    "undeliverable",
    `${shown} cannot be written: ${REASONS[code] ?? code}. No token was written.`,
    {
      hint: "Nothing that can authenticate was left behind. Make room or rights, or give another --token-file.",
      details: { errno: code },
    },
  );
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full (ENOSPC)",
  EDQUOT: "the disk quota is used up (EDQUOT)",
  EFBIG: "the file size limit is reached (EFBIG)",
  EIO: "the disk reports an error (EIO)",
  EROFS: "the file system is read-only (EROFS)",
  EACCES: "permission denied (EACCES)",
  EPERM: "the operation is not permitted there (EPERM)",
};

export function errnoOf(error: unknown): string | null {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return error instanceof Error && typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : null;
}

export function isOurs(uid: number): boolean {
  return uid === (process.geteuid?.() ?? uid);
}

function isTrustedOwner(uid: number): boolean {
  return uid === 0 || isOurs(uid);
}
