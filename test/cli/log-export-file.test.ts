import fs, { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { appendCheckpoint } from "../../src/cli/checkpoint-file.ts";
import { openExportFile } from "../../src/cli/log-export-file.ts";

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
