import fs, { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { appendCheckpoint } from "../../src/cli/checkpoint-file.ts";
import { openExportFile, readExportFile } from "../../src/cli/log-export-file.ts";
import { ExportReader, writeExportLine } from "../../src/domain/log-export.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "midctl-full-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

it.each([
  ["ENOSPC", /Make room there, and run the same command again/],
  ["EDQUOT", /Make room there, and run the same command again/],
  ["EIO", /a directory that you may write to/],
])("says after %s what helps", async (code, helps) => {
  const file = await openExportFile(join(directory, "log.jsonl"));
  const fail = (): never => {
    throw Object.assign(new Error(code), { code });
  };
  vi.spyOn(fs, "writeSync").mockImplementation(fail);
  vi.spyOn(fs, "writeFileSync").mockImplementation(fail);

  expect(() => file.append("line\n")).toThrow(
    expect.objectContaining({ code: "usage", hint: expect.stringMatching(helps) }),
  );
  expect(() => appendCheckpoint(join(directory, "checkpoints"), "note\n")).toThrow(
    expect.objectContaining({ code: "usage", hint: expect.stringMatching(helps) }),
  );
  file.close();
});

it("is open once at a time", async () => {
  const path = join(directory, "log.jsonl");
  const file = await openExportFile(path);

  await expect(openExportFile(path)).rejects.toMatchObject({ code: "conflict" });

  file.close();
});

it("says why it is not locked where nothing can lock it", async () => {
  vi.stubEnv("PATH", join(directory, "nowhere"));

  const file = await openExportFile(join(directory, "log.jsonl"));

  expect(file.unlocked).toBe(process.platform === "darwin" ? null : "there is no flock(1) here");
  file.close();
});

it("lets the event loop turn while a file is read, so that an interruption is heard", async () => {
  const path = join(directory, "log.jsonl");
  const root = Buffer.from("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "base64");
  const entries = Array.from({ length: 3 }, (_, index) => ({ index, entry: "x".repeat(1024 * 1024) }));
  const head = { origin: "midctl/test", size: 0, root, peaks: [], checkpoint: null };
  writeFileSync(path, [head, ...entries].map(writeExportLine).join(""));
  let turns = 0;
  const count = (): void => {
    turns++;
    next = setImmediate(count);
  };
  let next = setImmediate(count);

  const heard: number[] = [];
  await readExportFile(path, new ExportReader(path, "nothing was read"), "nothing was read", () => {
    heard.push(turns);
  });
  clearImmediate(next);

  expect(heard).toHaveLength(4);
  expect(heard.at(-1)).toBeGreaterThan(1);
});
