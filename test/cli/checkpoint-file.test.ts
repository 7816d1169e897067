import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readCheckpoints, readLastCheckpoint } from "../../src/cli/checkpoint-file.ts";
import { checkpointText, writeNote } from "../../src/domain/checkpoint.ts";

const NONE = createHash("sha256").update("").digest();
const OTHER = Buffer.alloc(32, 7);

function noteOf(size: number, root = OTHER): string {
  const text = checkpointText({ origin: "midctl/test", size, root });
  return writeNote({ text, signatures: [{ name: "log", keyId: "01020304", signature: OTHER }] });
}

describe("a file of checkpoints", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "midctl-checkpoints-"));
    path = join(directory, "checkpoints");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it.each([
    ["a byte order mark", `\ufeff${noteOf(1)}${noteOf(2)}`, /begins with a byte order mark/],
    ["lines of Windows", noteOf(1).replaceAll("\n", "\r\n"), /lines that end with CR LF/],
  ])("that has %s is told to have it", (_, content, says) => {
    writeFileSync(path, content);

    const told = expect.objectContaining({ code: "usage", message: expect.stringMatching(says) });
    expect(() => readCheckpoints(path, null)).toThrow(told);
    expect(() => readLastCheckpoint(path)).toThrow(told);
  });

  it("has no head of an empty log but the one that an empty log has", () => {
    writeFileSync(path, noteOf(0, NONE));
    expect(readCheckpoints(path, null)).toHaveLength(1);

    writeFileSync(path, noteOf(1) + noteOf(0));
    expect(() => readCheckpoints(path, null)).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringMatching(/^Note 2 .* is of no entries/),
      }),
    );
    writeFileSync(path, noteOf(0));
    expect(() => readLastCheckpoint(path)).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringMatching(/^The last checkpoint of .* is of no entries/),
      }),
    );
  });

  it("counts the notes before something else, however long that is", () => {
    writeFileSync(path, noteOf(1) + noteOf(2) + "x".repeat(5_000_000));

    expect(() => readCheckpoints(path, null)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^Note 3 .* is no checkpoint/) }),
    );
  });
});
