import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openTokenFile } from "../../src/cli/token-file.ts";
import { refusal, told } from "../domain/refusal.ts";
import {
  fail,
  isRoot,
  makeDirectory,
  makeToken,
  refuseDirectorySync,
  STRANGER,
} from "./token-file-support.ts";

let directory: string;
let file: string;

beforeEach(() => {
  directory = makeDirectory();
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

  it("is not taken back when another run found it at once, and took its temporary name away", () => {
    const real = fs.linkSync;
    vi.spyOn(fs, "linkSync").mockImplementationOnce((from, to) => {
      real(from, to);
      openTokenFile(file);
    });
    const token = makeToken();

    openTokenFile(file).write(token);

    expect(openTokenFile(file).existing).toEqual(token);
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
    ["a FIFO, which is not opened", () => execFileSync("sh", ["-c", 'mkfifo "$0"', file])],
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

  it("leaves a file that has taken its place with the same token in it", () => {
    const token = makeToken();
    const opened = openTokenFile(file);
    opened.write(token);
    fs.copyFileSync(file, `${file}.copy`);
    fs.renameSync(`${file}.copy`, file);
    expect(opened.discard()).toBe(true);
    expect(openTokenFile(file).existing).toEqual(token);
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

/** A file that is not ours: for root one given away, for others one of root's. */
function foreignFile(): string {
  if (!isRoot) return "/etc/passwd";
  place(makeToken().text);
  fs.chownSync(file, STRANGER, STRANGER);
  return file;
}
