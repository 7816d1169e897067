import { spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { parseKeptHead, writeKeptHead } from "../../src/domain/kept-head.ts";
import { headFile } from "../../src/operations/verifier/head-file.ts";

const WRITER = fileURLToPath(new URL("./head-writer.mjs", import.meta.url));

describe("a head file", () => {
  test("holds nothing where there is none", async () => {
    expect(await headFile(newPath()).read()).toBeNull();
  });

  test("holds what was written, and nothing stays beside it", async () => {
    const path = newPath();

    await headFile(path).write(headOf(7));

    expect(await headFile(path).read()).toBe(headOf(7));
    expect(readdirSync(dirname(path))).toEqual(["head"]);
  });

  test("never goes back, whoever writes in whatever order", async () => {
    const path = newPath();
    const sizes = Array.from({ length: 40 }, (_, at) => ((at * 17) % 40) + 1);

    await Promise.all(sizes.map((size) => headFile(path).write(headOf(size))));

    expect(await headFile(path).read()).toBe(headOf(40));
  });

  test("goes back where somebody accepts a lower head, and not again to the one before", async () => {
    const file = headFile(newPath());
    await file.write(headOf(9));

    await file.replace(headOf(9), headOf(5, 1));
    await file.write(headOf(10));

    expect(await file.read()).toBe(headOf(5, 1));
    expect(readFileSync(`${file.path}.before`, "utf8")).toBe(`${headOf(9)}\n`);
  });

  test.runIf(process.getuid?.() === 0)(
    "stays the verifier's own where root accepts a lower head",
    async () => {
      const file = headFile(newPath());
      await file.write(headOf(9));
      chownSync(file.path, 61_000, 61_001);

      await file.replace(headOf(9), headOf(5, 1));

      for (const path of [file.path, `${file.path}.before`]) {
        expect(statSync(path), path).toMatchObject({ uid: 61_000, gid: 61_001 });
      }
    },
  );

  test("is not put back over a head that was written meanwhile", async () => {
    const file = headFile(newPath());
    await file.write(headOf(9));

    await expect(file.replace(headOf(8), headOf(5, 1))).rejects.toMatchObject({ code: "conflict" });
    expect(await file.read()).toBe(headOf(9));
    expect(existsSync(`${file.path}.before`)).toBe(false);
  });

  test("is whole, and no less than what was said to be durable, when its writer is killed", async () => {
    const path = newPath();
    for (let round = 0, from = 1; round < 5; round++) {
      const durable = await writeAndKill(path, from, 3 + round);

      const kept = parseKeptHead(readFileSync(path, "utf8"));

      expect(kept?.size).toBeGreaterThanOrEqual(durable);
      from = durable + 1;
      age(`${path}.lock`);
    }
  });

  test("is written to though its last writer died with the lock", async () => {
    const path = newPath();
    writeFileSync(`${path}.lock`, "4711 on gone\n");
    age(`${path}.lock`);

    await headFile(path).write(headOf(3));

    expect(await headFile(path).read()).toBe(headOf(3));
  });

  test("waits for whoever writes, and then says who holds it", async () => {
    const path = newPath();
    writeFileSync(`${path}.lock`, "4711 on here\n");

    await expect(headFile(path).write(headOf(3))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("head.lock"),
    });
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["a directory", (path: string) => mkdirSync(path)],
    [
      "a link",
      (path: string) => {
        writeFileSync(`${path}-elsewhere`, headOf(1));
        symlinkSync(`${path}-elsewhere`, path);
      },
    ],
    ["something else", (path: string) => writeFileSync(path, "hello\n")],
    ["two heads", (path: string) => writeFileSync(path, headOf(1) + headOf(2))],
  ])("is refused where it is %s", async (_, make) => {
    const path = newPath();
    make(path);

    await expect(headFile(path).write(headOf(3))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/no token is decided on/),
    });
  });

  test("is refused where its directory is not there", async () => {
    await expect(headFile("/nowhere/head").write(headOf(3))).rejects.toMatchObject({ code: "usage" });
  });

  test("does not mix two logs", async () => {
    const file = headFile(newPath());
    await file.write(headOf(3));

    await expect(file.write(headOf(4).replace("/log", "/other"))).rejects.toMatchObject({ code: "conflict" });
    expect(await file.read()).toBe(headOf(3));
  });
});

function newPath(): string {
  return join(mkdtempSync(join(inject("scratch"), "head-file-")), "head");
}

function headOf(size: number, accepted = 0): string {
  return writeKeptHead({ origin: "midctl/log", size, root: Buffer.alloc(32, size), accepted });
}

/** As if it had been there for a minute. */
function age(path: string): void {
  const then = Date.now() / 1000 - 60;
  if (existsSync(path)) utimesSync(path, then, then);
}

/** Lets a process of its own write until it has said so many sizes; returns the last one. */
function writeAndKill(path: string, from: number, writes: number): Promise<number> {
  const child = spawn(process.execPath, [WRITER, path, String(from)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said: string[] = [];
  return new Promise((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said = [...said, ...chunk.trimEnd().split("\n")];
      if (said.length >= writes) child.kill("SIGKILL");
    });
    child.on("close", () => resolve(Number(said.at(-1))));
  });
}
