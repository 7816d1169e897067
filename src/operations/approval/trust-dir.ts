import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { MidctlError } from "../../domain/errors.ts";
import { readTrust, type TrustRoot, type TrustTexts } from "../../domain/trust.ts";

/** The trust root in force, as its directory says it. */
export interface TrustSource {
  /** null while there is none to be believed: nothing is approved then. */
  current(): TrustRoot | null;
  /** Why the directory as it is now is not believed; null where it is. */
  readonly fault: string | null;
  /** How often the root has been replaced by another; what was judged under an older one must be judged anew. */
  readonly generation: number;
}

const FILES = ["allowed_signers", "policy.json", "revoked_keys"] as const;
const MAX_BYTES = 1_048_576;
/** ms between two looks at the directory. */
const LOOK_EVERY = 1000;
/** ms that a root stays in force after it was last seen whole. */
const LAST_GOOD = 10_000;

/**
 * The trust root of a directory with `allowed_signers`, `policy.json` and, where keys were revoked, `revoked_keys`; each at
 * most 1 MiB. Throws `usage` naming directory and file where one is missing, cannot be read or is not understood.
 */
export function loadTrust(dir: string): TrustRoot {
  return readTrust(readTexts(dir), dir);
}

/**
 * Follows a trust directory without a timer: `current()` looks, at most once a second, whether the directory or a file in it
 * is another (inode, times, size), a link that was turned to another directory included, and reads it again if so. What
 * cannot be understood leaves the last good root in force until 10 s after it was last seen whole, then none, until the
 * directory is good again. Looking is a few `stat`s, on this thread: the directory belongs on a local disk. Never throws.
 * `now` is a steady clock in ms, `performance.now()` unless given.
 */
export function watchTrust(
  dir: string,
  { now = () => performance.now() }: { now?: () => number } = {},
): TrustSource {
  let root: TrustRoot | null = null;
  let texts = "";
  let stamp = "";
  // A file can change within one tick of its clock after it was read: what is new is read once more at the next look.
  let settled = false;
  let fault: string | null = null;
  let generation = 0;
  let lookAgainAt = Number.NEGATIVE_INFINITY;
  let seenWhole = Number.NEGATIVE_INFINITY;

  function look(at: number): void {
    lookAgainAt = at + LOOK_EVERY;
    try {
      const seen = stampOf(dir);
      if (seen !== stamp || !settled || fault !== null) {
        const read = readTexts(dir);
        const content = JSON.stringify(read);
        const fresh = root === null || content !== texts ? readTrust(read, dir) : root;
        settled = seen === stamp && content === texts;
        if (root !== null && fresh !== root) generation++;
        [root, texts, stamp, fault] = [fresh, content, seen, null];
      }
      seenWhole = at;
    } catch (error) {
      fault = error instanceof Error ? error.message : String(error);
    }
  }

  look(now());
  return {
    current() {
      const at = now();
      if (at >= lookAgainAt) look(at);
      return fault === null || at - seenWhole < LAST_GOOD ? root : null;
    },
    get fault() {
      return fault;
    },
    get generation() {
      return generation;
    },
  };
}

/**
 * As `watchTrust`, of a directory that is understood now: whoever starts with one that is not would refuse everybody.
 * @throws MidctlError `usage` as `loadTrust`
 */
export function followTrust(dir: string): TrustSource {
  loadTrust(dir);
  return watchTrust(dir);
}

/**
 * Where somebody other than root and this process's own user could change the trust root: a sentence for each of its files
 * and of the directories above them that group or others may write to, or that belongs to somebody else. A directory with
 * the sticky bit (`/tmp`) counts as closed. Empty where all is well, and on Windows, which has no such modes.
 */
export function weakPermissions(dir: string): string[] {
  const self = process.getuid?.();
  if (self === undefined) return [];
  if (!existsSync(dir)) return [];
  const real = realpathSync(dir);
  const files = FILES.map((file) => join(real, file)).filter((path) => existsSync(path));
  // A link can be turned by whoever may write where it lies.
  const roots = [real, realpathSync(dirname(resolve(dir))), ...files.map((path) => realpathSync(path))];
  const places = new Set(roots.flatMap(upwards));
  return [...places].sort().flatMap((path) => {
    const stat = statSync(path);
    const mode = (stat.mode & 0o7777).toString(8).padStart(4, "0");
    const sticky = stat.isDirectory() && (stat.mode & 0o1000) !== 0;
    if ((stat.mode & 0o022) !== 0 && !sticky) {
      const who = (stat.mode & 0o002) !== 0 ? "anybody" : "its group";
      return [`${path} can be changed by ${who} (mode ${mode})`];
    }
    return stat.uid === 0 || stat.uid === self ? [] : [`${path} belongs to another user (uid ${stat.uid})`];
  });
}

function upwards(path: string): string[] {
  const above = dirname(path);
  return above === path ? [path] : [path, ...upwards(above)];
}

/** All three files by way of the one directory that the name stands for now, even if a link is turned meanwhile. */
function readTexts(dir: string): TrustTexts {
  let real: string;
  try {
    real = realpathSync(dir);
  } catch (error) {
    throw unreadable(`The trust directory ${dir}`, error);
  }
  const before = stampOfPlace(real);
  const read = (file: (typeof FILES)[number]) => readText(join(real, file), `${dir}/${file}`);
  const [allowedSigners, policy] = [read("allowed_signers"), read("policy.json")];
  if (allowedSigners === null || policy === null) {
    const missing = allowedSigners === null ? "allowed_signers" : "policy.json";
    throw new MidctlError(
      "usage",
      `There is no ${missing} in the trust directory ${dir}; nobody is trusted by it.`,
      {
        hint:
          missing === "policy.json"
            ? 'Say there what must be agreed on, such as {"quorum":1}.'
            : "Name there who may approve, a line each: name and public key, as ssh-keygen(1) has it.",
      },
    );
  }
  const revokedKeys = read("revoked_keys");
  // Else a directory that is being removed would look like one in which no key was revoked.
  if (stampOfPlace(real) !== before) {
    throw unreadable(`The trust directory ${dir}`, new Error("it changed while it was read"));
  }
  return { allowedSigners, policy, revokedKeys };
}

/** null where there is no such file. */
function readText(path: string, named: string): string | null {
  let descriptor: number | undefined;
  try {
    // Without waiting: a pipe in its place would hold up the process.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new Error("it is no plain file");
    const bytes = Buffer.alloc(Math.min(stat.size, MAX_BYTES) + 1);
    let length = 0;
    for (let got = 1; got > 0 && length < bytes.length; length += got) {
      got = readSync(descriptor, bytes, length, bytes.length - length, null);
    }
    if (stat.size > MAX_BYTES || length > MAX_BYTES) throw new Error("it is larger than 1 MiB");
    if (length !== stat.size) throw new Error("it changed while it was read");
    return bytes.toString("utf8", 0, length);
  } catch (error) {
    // A link to nowhere is there: whoever made it meant something by it.
    if (isMissing(error) && lstatSync(path, { throwIfNoEntry: false }) === undefined) return null;
    throw unreadable(named, error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Differs where directory or files are others, or may have been changed. */
function stampOf(dir: string): string {
  return [dir, ...FILES.map((file) => join(dir, file))].map(stampOfPlace).join(" ");
}

function stampOfPlace(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? "-" : [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join();
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function unreadable(what: string, cause: unknown): MidctlError {
  const reason = isMissing(cause)
    ? "it is not there"
    : cause instanceof Error
      ? cause.message
      : String(cause);
  return new MidctlError("usage", `${what} could not be read: ${reason}. Nobody is trusted by it.`, {
    hint: "The trust directory holds allowed_signers, policy.json and, where keys were revoked, revoked_keys.",
    cause,
  });
}
