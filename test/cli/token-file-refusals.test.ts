import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { buildSync } from "esbuild";
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
    fs.writeFileSync(file, "x");
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

  // Real processes, starved in every way that this user may arrange.
  const starvations: [what: string, errno: string, command: string, script: string][] = [
    ["the file size limit", "EFBIG", "sh", "trap '' XFSZ; ulimit -f 0"],
  ];
  // A mount namespace of its own: nothing to unmount, and no privilege needed where user namespaces are allowed.
  const namespace = isRoot ? "unshare -m" : "unshare -Urm";
  const fill =
    'mount -t tmpfs -o size=64k,mode=0700 tmpfs "$1" && ! cat /dev/zero > "$1/ballast" 2>/dev/null';
  if (mayMount(namespace)) {
    starvations.push(["a full file system", "ENOSPC", `${namespace} sh`, fill]);
  }

  it.each(starvations)("is undeliverable at %s (%s), and leaves no file", (_, errno, command, script) => {
    const starved = path.join(directory, "starved");
    fs.mkdirSync(starved);
    const [program = "", ...words] = command.split(" ");
    const act = `${script}; "$2" "$3" "$1/codex.token"; ls -A "$1" | grep -v ballast`;
    const run = spawnSync(program, [...words, "-c", act, "sh", starved, process.execPath, bundleWriter()], {
      encoding: "utf8",
    });
    expect(run.stdout).toBe(`undeliverable ${errno}\n`);
  });
});

function mayMount(namespace: string): boolean {
  const [program = "", ...words] = namespace.split(" ");
  return spawnSync(program, [...words, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0;
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
