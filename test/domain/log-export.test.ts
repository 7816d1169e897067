import { describe, expect, it } from "vitest";
import {
  ExportedLeaves,
  type ExportLine,
  ExportReader,
  fitsLine,
  isHead,
  parseExportLine,
  writeExportLine,
} from "../../src/domain/log-export.ts";
import { hashLeaf, peaksOf } from "../../src/domain/merkle.ts";
import { TreeBuilder } from "../../src/domain/tree-builder.ts";

const ORIGIN = "midctl/test";

describe("the line of an entry", () => {
  it("is as long as a line may be, and no longer, whatever is in it", () => {
    const each = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
    for (const entry of ["", "x", "ä€😀", ...each, each.join("")]) {
      const written = Buffer.byteLength(writeExportLine({ index: 7, entry })) - 1;

      expect(fitsLine({ index: 7, entry }, written)).toBe(true);
      expect(fitsLine({ index: 7, entry }, written - 1)).toBe(false);
    }
  });
});

describe("an export of the log", () => {
  it("is what its lines say, whatever sizes its heads have", () => {
    for (const heads of [[0], [0, 1], [0, 5], [0, 3, 7], [4, 4, 9], [7, 8, 21]]) {
      const reader = read(exportOf(heads));

      expect(reader.end()).toMatchObject({ size: heads.at(-1), origin: ORIGIN });
    }
  });

  it("comes back from text as it went in", () => {
    for (const line of exportOf([3, 11])) {
      expect(parseExportLine(writeExportLine(line).slice(0, -1))).toEqual(line);
    }
  });

  it("goes on in another file from a head of its own", () => {
    const [before, after] = [read(exportOf([0, 6])), read(exportOf([6, 9]))];

    expect(after.first).toEqual(before.end());
  });

  it.each<[string, (lines: string[]) => string[]]>([
    ["an entry altered", (lines) => lines.map((line) => line.replace("entry 4", "entry X"))],
    ["an entry missing", (lines) => lines.filter((line) => !line.includes("entry 4"))],
    ["an entry twice", (lines) => lines.flatMap((line) => (line.includes("entry 4") ? [line, line] : line))],
    ["two entries swapped", ([a, b, c, ...rest]) => [a, c, b, ...rest] as string[]],
    [
      "a head of another log",
      (lines) => lines.with(-1, String(lines.at(-1)).replace(ORIGIN, "midctl/other")),
    ],
    ["another root", (lines) => lines.with(-1, String(lines.at(-1)).replace(/"root":"./, '"root":"/'))],
    [
      "another subtree",
      (lines) => lines.with(-1, String(lines.at(-1)).replace(/"peaks":\["./, '"peaks":["/')),
    ],
    [
      "a beginning that is no tree",
      (lines) => lines.with(0, String(lines.at(-1)).replace(/"root":"./, '"root":"/')),
    ],
  ])("is found not to hold with %s", (_, change) => {
    const lines = change(exportOf([0, 3, 7]).map((line) => writeExportLine(line).slice(0, -1)));

    expect(() => readTexts(lines)).toThrow(expect.objectContaining({ code: "conflict" }));
  });

  it("says up to where it is sound", () => {
    const lines = exportOf([0, 3, 7]).map((line) => writeExportLine(line).slice(0, -1));

    expect(() => readTexts(lines.map((line) => line.replace("entry 4", "entry X")))).toThrow(
      expect.objectContaining({
        details: { line: 10, soundTo: 3 },
        message: expect.stringMatching(/between 3 and 7/),
      }),
    );
  });

  it.each([
    ["garbage", "garbage"],
    ["an entry with another field", '{"entry":"x","index":0,"more":1}'],
    ["an entry that is not canonical", '{ "entry":"x","index":0}'],
    ["a field twice", '{"entry":"x","entry":"y","index":0}'],
    ["an index that is no count", '{"entry":"x","index":-1}'],
    ["an entry that is no text", '{"entry":{},"index":0}'],
    ["a head of another version", writeExportLine(headAt(0)).replace("@v1", "@v2").slice(0, -1)],
    ["a head with too few subtrees", writeExportLine({ ...headAt(3), peaks: [] }).slice(0, -1)],
    ["an array", "[]"],
    ["null", "null"],
    ["nothing", ""],
  ])("has no line that is %s", (_, text) => {
    expect(parseExportLine(text)).toBeNull();
  });

  it.each([
    ["begins with an entry", exportOf([0, 2]).slice(1), "usage"],
    ["is empty", [], "usage"],
    ["ends in the middle", exportOf([0, 2]).slice(0, -1), "conflict"],
  ])("is none that %s", (_, lines, code) => {
    expect(() => read(lines).end()).toThrow(expect.objectContaining({ code }));
  });

  it("keeps the hashes of very many entries, by index", () => {
    const leaves = new ExportedLeaves(5);
    for (let index = 5; index < 10_000; index++) leaves.add(hashLeaf(String(index)));

    expect([leaves.begin, leaves.end]).toEqual([5, 10_000]);
    for (const index of [5, 4_100, 4_101, 8_196, 8_197, 9_999]) {
      expect(leaves.at(index)).toEqual(hashLeaf(String(index)));
    }
    expect([leaves.at(4), leaves.at(10_000)]).toEqual([null, null]);
  });
});

function read(lines: readonly ExportLine[]): ExportReader {
  return readTexts(lines.map((line) => writeExportLine(line).slice(0, -1)));
}

function readTexts(lines: readonly string[]): ExportReader {
  const reader = new ExportReader("log.jsonl", "nothing was checked");
  for (const line of lines) reader.take(line);
  return reader;
}

/** Entries between heads of these sizes. */
function exportOf(heads: readonly number[]): ExportLine[] {
  const [first = 0, ...others] = heads;
  const lines: ExportLine[] = [headAt(first)];
  for (const size of others) {
    const from = lines.filter(isHead).at(-1)?.size ?? 0;
    for (let index = from; index < size; index++) lines.push({ index, entry: `entry ${index}` });
    lines.push(headAt(size));
  }
  return lines;
}

function headAt(size: number) {
  const tree = treeOver(0, size);
  const peaks = peaksOf(size).map(({ level, index }) =>
    Buffer.from(treeOver(index * 2 ** level, (index + 1) * 2 ** level).root()),
  );
  return { origin: ORIGIN, size, root: Buffer.from(tree.root()), peaks, checkpoint: null };
}

function treeOver(from: number, until: number): TreeBuilder {
  const tree = new TreeBuilder();
  for (let index = from; index < until; index++) tree.add(hashLeaf(`entry ${index}`));
  return tree;
}
