import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { buildSync } from "esbuild";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openTokenFile } from "../../src/cli/token-file.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { createToken, type Token } from "../../src/domain/token.ts";

const isRoot = process.geteuid?.() === 0;
const STRANGER = 54321;
const makeToken = (): Token => createToken("test", randomBytes);

let directory: string;
let file: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "token-file-"));
  file = path.join(directory, "codex.token");
});

afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(directory, { recursive: true, force: true });
});

describe("writing a new token file", () => {
  it("holds the token and one newline", () => {
    const token = makeToken();
    openTokenFile(file).write(token);
    expect(fs.readFileSync(file, "utf8")).toBe(`${token.text}\n`);
  });

  it("is 0600 whatever the umask", () => {
    for (const umask of [0o000, 0o022, 0o777]) {
      const target = path.join(directory, `umask-${umask}`);
      const before = process.umask(umask);
      try {
        openTokenFile(target).write(makeToken());
      } finally {
        process.umask(before);
      }
      expect(fs.statSync(target).mode & 0o7777).toBe(0o600);
    }
  });

  it("leaves nothing else in the directory", () => {
    openTokenFile(file).write(makeToken());
    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
  });

  it("does not touch the disk before write", () => {
    const opened = openTokenFile(file);
    expect(opened.existing).toBeNull();
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("never shows a part of the token under the path: content and sync come before the name", () => {
    const steps: string[] = [];
    for (const call of ["writeFileSync", "fsyncSync", "linkSync"] as const) {
      const real = fs[call] as (...args: unknown[]) => unknown;
      vi.spyOn(fs, call).mockImplementation((...args: unknown[]) => {
        steps.push(call);
        return real(...args) as never;
      });
    }
    openTokenFile(file).write(makeToken());
    expect(steps).toEqual(["writeFileSync", "fsyncSync", "linkSync", "fsyncSync"]);
  });

  it("syncs the directory after the name was made", () => {
    const synced: boolean[] = [];
    const real = fs.fsyncSync;
    vi.spyOn(fs, "fsyncSync").mockImplementation((fd) => {
      synced.push(fs.fstatSync(fd).isDirectory() && fs.existsSync(file));
      real(fd);
    });
    openTokenFile(file).write(makeToken());
    expect(synced).toEqual([false, true]);
  });

  it("takes the parent of a linked directory's target for link/..", () => {
    fs.mkdirSync(path.join(directory, "a", "b"), { recursive: true });
    fs.symlinkSync(path.join(directory, "a", "b"), path.join(directory, "link"));
    openTokenFile(`${directory}/link/../here.token`).write(makeToken());
    expect(fs.existsSync(path.join(directory, "a", "here.token"))).toBe(true);
  });

  it("follows a directory link of one's own", () => {
    fs.mkdirSync(path.join(directory, "real"));
    fs.symlinkSync("real", path.join(directory, "link"));
    openTokenFile(path.join(directory, "link", "x.token")).write(makeToken());
    expect(fs.existsSync(path.join(directory, "real", "x.token"))).toBe(true);
  });

  it("works on a file system without hard links", () => {
    const token = makeToken();
    vi.spyOn(fs, "linkSync").mockImplementation(() => fail("EPERM"));
    openTokenFile(file).write(token);
    expect(fs.readFileSync(file, "utf8")).toBe(`${token.text}\n`);
    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
  });

  it("accepts a file system that cannot sync directories", () => {
    refuseDirectorySync("EINVAL");
    openTokenFile(file).write(makeToken());
    expect(fs.existsSync(file)).toBe(true);
  });

  it("is refused when the path came into being after it was opened, and leaves that file alone", () => {
    const opened = openTokenFile(file);
    fs.writeFileSync(file, "another's", { mode: 0o600 });
    expect(refusal(() => opened.write(makeToken()))).toMatchObject({ code: "conflict" });
    expect(fs.readFileSync(file, "utf8")).toBe("another's");
    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
  });

  it("has one winner when two runs write the same path", () => {
    const [first, second] = [openTokenFile(file), openTokenFile(file)];
    const token = makeToken();
    first.write(token);
    expect(refusal(() => second.write(makeToken())).code).toBe("conflict");
    expect(second.discard()).toBe(true);
    expect(openTokenFile(file).existing).toEqual(token);
  });
});

describe("a token file that exists", () => {
  it.each([
    ["with a newline", "\n"],
    ["without one", ""],
  ])("is taken up again %s", (_, ending) => {
    const token = makeToken();
    place(`${token.text}${ending}`);
    expect(openTokenFile(file).existing).toEqual(token);
  });

  it("is synced, with its directory, since the run that wrote it may not have come so far", () => {
    place(makeToken().text);
    const kinds: string[] = [];
    vi.spyOn(fs, "fsyncSync").mockImplementation((fd) => {
      kinds.push(fs.fstatSync(fd).isDirectory() ? "directory" : "file");
    });
    openTokenFile(file);
    expect(kinds).toEqual(["file", "directory"]);
  });

  it.each<[string, (token: string) => string]>([
    ["nothing", () => ""],
    ["a newline alone", () => "\n"],
    ["two newlines", (token) => `${token}\n\n`],
    ["a carriage return", (token) => `${token}\r\n`],
    ["two tokens", (token) => `${token}\n${token}\n`],
    ["a space before", (token) => ` ${token}`],
    ["half a token", (token) => token.slice(0, 40)],
    ["a wrong checksum", (token) => token.slice(0, -1) + (token.endsWith("0") ? "1" : "0")],
    ["a megabyte", (token) => token + "x".repeat(1 << 20)],
    ["something else", () => "KEY=hunter2"],
  ])("that holds %s is a conflict, and its content is not echoed", (_, content) => {
    const text = content(makeToken().text);
    place(text);
    const error = refusal(() => openTokenFile(file));
    expect(error.code).toBe("conflict");
    expect(error.hint).toContain("does not exist yet");
    if (text.trim() !== "") expect(told(error)).not.toContain(text.trim().slice(0, 40));
    expect(fs.readFileSync(file, "utf8")).toBe(text);
  });

  it.each([0o640, 0o604, 0o644, 0o660, 0o666, 0o700, 0o4600, 0o400])("of mode %o is a conflict", (mode) => {
    place(makeToken().text, mode);
    const error = refusal(() => openTokenFile(file));
    expect(error.code).toBe("conflict");
    expect(error.message).toContain("mode");
  });

  it("that is a symbolic link is a conflict, even to a good file", () => {
    place(makeToken().text);
    const link = path.join(directory, "link");
    fs.symlinkSync(file, link);
    const error = refusal(() => openTokenFile(link));
    expect(error).toMatchObject({ code: "conflict", message: expect.stringContaining("symbolic link") });
  });

  it("that is a dangling link is a conflict, and what it points to is not made", () => {
    fs.symlinkSync(path.join(directory, "elsewhere"), file);
    expect(refusal(() => openTokenFile(file)).code).toBe("conflict");
    expect(fs.existsSync(path.join(directory, "elsewhere"))).toBe(false);
  });

  it("that becomes a link between the look and the opening is a conflict", () => {
    place(makeToken().text);
    const real = fs.openSync;
    vi.spyOn(fs, "openSync").mockImplementationOnce((...args) => {
      fs.renameSync(file, `${file}.moved`);
      fs.symlinkSync(`${file}.moved`, file);
      return real(...args);
    });
    expect(refusal(() => openTokenFile(file)).message).toContain("symbolic link");
  });

  it("that belongs to another user is a conflict", () => {
    const foreign = foreignFile();
    const error = refusal(() => openTokenFile(foreign));
    expect(error).toMatchObject({ code: "conflict", message: expect.stringContaining("another user") });
  });

  it.each([
    ["a directory", () => fs.mkdirSync(file)],
    ["a FIFO, which is not opened", () => execFileSync("mkfifo", [file])],
  ])("that is %s is a conflict", (_, make) => {
    make();
    expect(refusal(() => openTokenFile(file)).message).toContain("not a regular file");
  });

  it("that is a device is a conflict", () => {
    expect(refusal(() => openTokenFile("/dev/full")).message).toContain("not a regular file");
  });

  it("that has a second name elsewhere is a conflict, and both names stay", () => {
    place(makeToken().text);
    fs.linkSync(file, path.join(directory, "copy"));
    expect(refusal(() => openTokenFile(file)).message).toContain("second name");
    expect(fs.readdirSync(directory).sort()).toEqual(["codex.token", "copy"]);
  });

  it("loses the temporary name that a killed run left beside it", () => {
    const token = makeToken();
    place(token.text);
    fs.linkSync(file, path.join(directory, ".midctl-token-killed"));
    expect(openTokenFile(file).existing).toEqual(token);
    expect(fs.readdirSync(directory)).toEqual(["codex.token"]);
  });

  it("leaves another run's temporary file alone", () => {
    place(makeToken().text);
    fs.linkSync(file, path.join(directory, ".midctl-token-mine"));
    fs.writeFileSync(path.join(directory, ".midctl-token-other"), "");
    openTokenFile(file);
    expect(fs.readdirSync(directory).sort()).toEqual([".midctl-token-other", "codex.token"]);
  });
});

describe("a path that cannot be meant", () => {
  it.each(["", "-", "/", ".", "..", "dir/", "dir/.", "dir/..", "a\0b"])("%j is a usage error", (given) => {
    expect(refusal(() => openTokenFile(given)).code).toBe("usage");
  });

  it("in a missing directory is a usage error that says how to make it", () => {
    const error = refusal(() => openTokenFile(path.join(directory, "missing", "x.token")));
    expect(error).toMatchObject({ code: "usage", hint: expect.stringContaining("mkdir -m 700") });
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("under a file is a usage error", () => {
    place("x");
    expect(refusal(() => openTokenFile(path.join(file, "x.token"))).code).toBe("usage");
  });

  it("with a name longer than the file system takes is a usage error", () => {
    expect(refusal(() => openTokenFile(path.join(directory, "x".repeat(300)))).code).toBe("usage");
  });

  it("that is a token is refused without echoing it", () => {
    const { text } = makeToken();
    const error = refusal(() => openTokenFile(text));
    expect(error.code).toBe("usage");
    expect(told(error)).not.toContain(text);
  });

  it("that loops through links ends as a conflict", () => {
    fs.symlinkSync("loop", path.join(directory, "loop"));
    expect(refusal(() => openTokenFile(path.join(directory, "loop", "x"))).code).toBe("conflict");
  });
});

describe("a directory that others control", () => {
  it("is a conflict when anyone may replace files in it", () => {
    fs.chmodSync(directory, 0o777);
    expect(refusal(() => openTokenFile(file))).toMatchObject({ code: "conflict" });
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("is fine when it is sticky, as /tmp is", () => {
    fs.chmodSync(directory, 0o1777);
    openTokenFile(file).write(makeToken());
    expect(fs.existsSync(file)).toBe(true);
  });

  it("is a conflict when a link of another user leads there", () => {
    fs.mkdirSync(path.join(directory, "real"));
    const link = path.join(directory, "link");
    fs.symlinkSync("real", link);
    disown(link);
    const error = refusal(() => openTokenFile(path.join(link, "x.token")));
    expect(error).toMatchObject({
      code: "conflict",
      message: expect.stringContaining("link of another user"),
    });
    expect(fs.readdirSync(path.join(directory, "real"))).toEqual([]);
  });
});

describe("a disk that refuses", () => {
  const steps = ["openSync", "fchmodSync", "writeFileSync", "fsyncSync", "linkSync", "unlinkSync"] as const;
  const errnos = ["ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT"];

  it.each(steps.flatMap((step) => errnos.map((errno) => [step, errno] as const)))(
    "%s with %s is undeliverable and leaves no file",
    (step, errno) => {
      const token = makeToken();
      const opened = openTokenFile(file);
      vi.spyOn(fs, step).mockImplementationOnce(() => fail(errno));
      const error = refusal(() => opened.write(token));
      expect(error).toMatchObject({ code: "undeliverable", message: expect.stringContaining(errno) });
      expect(told(error)).not.toContain(token.text);
      expect(fs.readdirSync(directory)).toEqual([]);
    },
  );

  it("is undeliverable when the directory cannot be synced, and the file is gone again", () => {
    refuseDirectorySync("EIO");
    expect(refusal(() => openTokenFile(file).write(makeToken())).code).toBe("undeliverable");
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("is undeliverable when it has no hard links and fills up at the second attempt", () => {
    vi.spyOn(fs, "linkSync").mockImplementation(() => fail("ENOTSUP"));
    const real = fs.writeFileSync;
    vi.spyOn(fs, "writeFileSync")
      .mockImplementationOnce((...args) => real(...args))
      .mockImplementationOnce(() => fail("ENOSPC"));
    expect(refusal(() => openTokenFile(file).write(makeToken())).code).toBe("undeliverable");
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("keeps the secret off a file system without modes", () => {
    const opened = openTokenFile(file);
    const real = fs.fstatSync;
    vi.spyOn(fs, "fstatSync").mockImplementation(((fd: number) =>
      Object.assign(real(fd), { mode: 0o100755 })) as typeof fs.fstatSync);
    const write = vi.spyOn(fs, "writeFileSync");
    expect(refusal(() => opened.write(makeToken())).code).toBe("undeliverable");
    expect(write).not.toHaveBeenCalled();
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("is undeliverable in a directory without write permission", () => {
    fs.chmodSync(directory, 0o555);
    const error = asUnprivileged(() => refusal(() => openTokenFile(file).write(makeToken())));
    expect(error).toMatchObject({ code: "undeliverable", message: expect.stringContaining("EACCES") });
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("is undeliverable in a real process that may not write another byte, and leaves no file", () => {
    const program = bundleWriter();
    const run = spawnSync(
      "sh",
      ["-c", `trap '' XFSZ; ulimit -f 0; exec "$0" "$@"`, process.execPath, program, file],
      {
        encoding: "utf8",
        cwd: directory,
      },
    );
    expect(run.stdout).toBe("undeliverable EFBIG\n");
    expect(fs.readdirSync(directory)).toEqual(["writer.mjs"]);
  });

  it("is undeliverable on a full file system, and leaves no file", () => {
    const full = path.join(directory, "full");
    fs.mkdirSync(full);
    const script = `
      mount -t tmpfs -o size=64k,mode=0700 tmpfs "$1" || exit 90
      cat /dev/zero > "$1/ballast" 2>/dev/null
      "$2" "$3" "$1/codex.token"
      ls -A "$1"`;
    // A mount namespace of its own: nothing to unmount, and no privilege needed where user namespaces are allowed.
    const namespace = isRoot ? ["-m"] : ["-Urm"];
    const run = spawnSync(
      "unshare",
      [...namespace, "sh", "-c", script, "sh", full, process.execPath, bundleWriter()],
      {
        encoding: "utf8",
      },
    );
    expect(run.stdout).toBe("undeliverable ENOSPC\nballast\n");
  });
});

describe("discarding", () => {
  it("removes the file that this call created", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    expect(opened.discard()).toBe(true);
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it("leaves a file that was there before", () => {
    place(makeToken().text);
    expect(openTokenFile(file).discard()).toBe(true);
    expect(fs.existsSync(file)).toBe(true);
  });

  it("leaves a file that has taken the place of ours", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    fs.writeFileSync(`${file}.new`, "another's");
    fs.renameSync(`${file}.new`, file);
    expect(opened.discard()).toBe(true);
    expect(fs.readFileSync(file, "utf8")).toBe("another's");
  });

  it("leaves our inode when it holds something else by now", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    fs.writeFileSync(file, makeToken().text);
    expect(opened.discard()).toBe(true);
    expect(fs.existsSync(file)).toBe(true);
  });

  it("is content when somebody has removed the file already", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    fs.rmSync(file);
    expect(opened.discard()).toBe(true);
  });

  it("says so when the file cannot be removed", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    vi.spyOn(fs, "unlinkSync").mockImplementation(() => fail("EROFS"));
    expect(opened.discard()).toBe(false);
  });

  it("does nothing the second time", () => {
    const opened = openTokenFile(file);
    opened.write(makeToken());
    opened.discard();
    place(makeToken().text);
    expect(opened.discard()).toBe(true);
    expect(fs.existsSync(file)).toBe(true);
  });
});

function place(content: string, mode = 0o600): void {
  fs.writeFileSync(file, content);
  fs.chmodSync(file, mode);
}

function refusal(act: () => unknown): MidctlError {
  try {
    act();
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

function told(error: MidctlError): string {
  return JSON.stringify([error.message, error.hint, error.details]);
}

function fail(errno: string): never {
  throw Object.assign(new Error(`${errno}: injected`), { code: errno });
}

function refuseDirectorySync(errno: string): void {
  const real = fs.fsyncSync;
  vi.spyOn(fs, "fsyncSync").mockImplementation((fd) => {
    if (fs.fstatSync(fd).isDirectory()) fail(errno);
    real(fd);
  });
}

/** A file that is not ours: for root one given away, for others one of root's. */
function foreignFile(): string {
  if (!isRoot) return "/etc/passwd";
  place(makeToken().text);
  fs.chownSync(file, STRANGER, STRANGER);
  return file;
}

/** Makes a link look foreign: for root by giving it away, for others by what lstat answers. */
function disown(link: string): void {
  if (isRoot) {
    fs.lchownSync(link, STRANGER, STRANGER);
    return;
  }
  const real = fs.lstatSync;
  vi.spyOn(fs, "lstatSync").mockImplementation(((given: string, options: object) => {
    const stats = real(given, options);
    return given === link ? Object.assign(stats as fs.Stats, { uid: STRANGER }) : stats;
  }) as typeof fs.lstatSync);
}

/** Root ignores permissions, so it steps down for the call. */
function asUnprivileged<T>(act: () => T): T {
  if (!isRoot) return act();
  process.seteuid?.(STRANGER);
  try {
    return act();
  } finally {
    process.seteuid?.(0);
  }
}

/** A program of its own that writes a fresh token to the path it is given and prints how that ended. */
function bundleWriter(): string {
  const outfile = path.join(directory, "writer.mjs");
  buildSync({
    stdin: {
      contents: `
        import { randomBytes } from "node:crypto";
        import { openTokenFile } from "./src/cli/token-file.ts";
        import { createToken } from "./src/domain/token.ts";
        let outcome = "written";
        try {
          openTokenFile(process.argv[2]).write(createToken("test", randomBytes));
        } catch (error) {
          outcome = error.code + " " + error.details.errno;
        }
        process.stdout.write(outcome + "\\n");`,
      resolveDir: path.resolve(import.meta.dirname, "../.."),
      loader: "ts",
    },
    bundle: true,
    platform: "node",
    format: "esm",
    outfile,
  });
  return outfile;
}
