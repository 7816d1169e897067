import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { verifyProof } from "../../src/cli/verify-proof.ts";
import { writeExportLine } from "../../src/domain/log-export.ts";
import { EMPTY_ROOT } from "../../src/domain/merkle.ts";
import { LONGEST_PROOF } from "../../src/domain/proof.ts";

const HEAD = writeExportLine({
  ...{ origin: "midctl/test", size: 0, root: EMPTY_ROOT, peaks: [], checkpoint: null },
});
const LONG = `${"x".repeat(LONGEST_PROOF)}\n`;

describe("a file to be checked by itself", () => {
  let directory: string;
  let proof: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "midctl-proof-"));
    proof = join(directory, "file");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it.each([
    [
      "an export with lines of Windows",
      `${HEAD.replace("\n", "\r\n")}${LONG}`,
      /Line 1 of .*: it ends in CR LF/,
    ],
    [
      "an export that was written anew",
      `${HEAD.replace("{", "{ ")}${LONG}`,
      /Line 1 of .* is none of an export/,
    ],
    ["something else that is long", LONG, /larger than any proof, and does not begin as an export/],
  ])("that is %s is told to be that, and not to be too large", async (_, content, says) => {
    writeFileSync(proof, content);

    await expect(
      verifyProof({ proof, checkpoint: undefined, checkpointKey: undefined }),
    ).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(says) });
  });
});
