import { describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { checkFields, fieldsOf } from "../../src/cli/fields.ts";
import { type Rendering, renderDocument, renderView } from "../../src/cli/output.ts";
import { colorLevel, createPaint } from "../../src/cli/paint.ts";
import { formatRelative } from "../../src/cli/relative-time.ts";
import { defineVerb } from "../../src/cli/verb.ts";
import { status, time } from "../../src/cli/view.ts";
import { piped } from "../support/rendering.ts";

const item = z.object({
  slug: z.string(),
  status: z.string(),
  labels: z.record(z.string(), z.string()),
  parent: z.nullable(z.object({ slug: z.string() })),
  expiresAt: z.nullable(z.string()),
});

const listItems = defineVerb({
  path: ["items"],
  summary: "List items",
  examples: [],
  output: z.object({ items: z.array(item), nextCursor: z.nullable(z.string()) }),
  list: ["items"],
  async run() {
    return { document: { items: [], nextCursor: null } };
  },
  view: ({ items, nextCursor }) => [
    {
      kind: "table",
      columns: [{ title: "SLUG", fixed: true }, { title: "STATUS" }, { title: "EXPIRES" }],
      rows: items.map((each) => [each.slug, status(each.status), time(each.expiresAt)]),
      empty: "no items",
    },
    ...(nextCursor === null ? [] : [{ kind: "notice" as const, text: `more: --cursor ${nextCursor}` }]),
  ],
});

const document = {
  items: [
    {
      slug: "a",
      status: "active",
      labels: { team: "x" },
      parent: { slug: "p" },
      expiresAt: "2026-03-04T12:00:00Z",
    },
    { slug: "b", status: "paused", labels: {}, parent: null, expiresAt: null },
  ],
  nextCursor: "c1",
};

const onTerminal: Rendering = { ...piped, format: "table", onTerminal: true, paint: await createPaint(1) };

async function render(rendering: Partial<Rendering>, of: object = document) {
  return renderDocument(listItems, of as Readonly<Record<string, unknown>>, { ...piped, ...rendering });
}

describe("JSON", () => {
  test("is one line in a pipe, with its schema version in front", async () => {
    const { result, notices } = await render({ format: "json" });

    expect(result).toBe(`${JSON.stringify({ schemaVersion: 1, ...document })}\n`);
    expect(notices).toBe("");
  });

  test("carries what a terminal might obey as escapes, and stays the same JSON", async () => {
    const slug = "a\u202Eb\u0085\u200B\u{E0001}\u2028";
    const { result } = await render(
      { format: "json" },
      { items: [{ ...document.items[1], slug }], nextCursor: null },
    );

    expect(result.trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(JSON.parse(result).items[0].slug).toBe(slug);
  });

  test("as NDJSON is a line for each element", async () => {
    const { result } = await render({ format: "ndjson" });

    expect(
      result
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual(document.items);
  });
});

describe("plain text", () => {
  test("is tab-separated, with whole times, without header or colours", async () => {
    const { result, notices } = await render({});

    expect(result).toBe("a\tactive\t2026-03-04T12:00:00Z\nb\tpaused\t\n");
    expect(notices).toBe("more: --cursor c1\n");
  });

  test("shows what is invisible, so that a tab or a line end in a name makes no column or row", async () => {
    const slug = "a\tb\nc\u001B[31m\u202E";
    const { result } = await render({}, { items: [{ ...document.items[1], slug }], nextCursor: null });

    expect(result).toBe("a\\u{09}b\\u{0A}c\\u{1B}[31m\\u{202E}\tpaused\t\n");
  });

  test("of an empty list is empty; the words for it go to stderr", async () => {
    expect(await render({}, { items: [], nextCursor: null })).toEqual({ result: "", notices: "no items\n" });
  });
});

describe("a table on a terminal", () => {
  test("has a header, colours and relative times", async () => {
    const { result } = await render(onTerminal);

    const [head, first, second] = result.replaceAll("\u001B", "ESC").split("\n");
    expect(head).toMatch(/^ESC\[1mSLUGESC\[22m +ESC\[1mSTATUSESC\[22m +ESC\[1mEXPIRESESC\[22m$/);
    expect(first).toMatch(/^a +ESC\[32mactiveESC\[39m +in 3d$/);
    expect(second).toMatch(/^b +ESC\[33mpausedESC\[39m +-$/);
  });

  test("asked for in a pipe is not cut", async () => {
    const slug = "s".repeat(200);
    const { result } = await render(
      { format: "table" },
      { items: [{ ...document.items[1], slug }], nextCursor: null },
    );

    expect(result).toContain(slug);
  });
});

describe("--fields", () => {
  test("knows every path of an element, those of records by any key", () => {
    expect(fieldsOf(listItems)).toEqual([
      "slug",
      "status",
      "labels",
      "labels.*",
      "parent",
      "parent.slug",
      "expiresAt",
    ]);
  });

  test.each([["slug"], ["parent.slug"], ["labels.team"]])("takes %s", (field) => {
    expect(() => checkFields(listItems, [field])).not.toThrow();
  });

  test("refuses what no result has, with what was meant", () => {
    expect(() => checkFields(listItems, ["slgu"])).toThrow(
      expect.objectContaining({ code: "usage", hint: "did you mean slug?" }),
    );
  });

  test("refuses a name left empty beside a comma", () => {
    expect(() => checkFields(listItems, ["slug", ""])).toThrow(
      expect.objectContaining({ code: "usage", message: "--fields: a name is missing beside a comma" }),
    );
  });

  test.each([[["labels", "labels.zone"]], [["labels.zone", "labels"]]])(
    "%j keeps the whole as it is",
    async (fields) => {
      const { result } = await render({ format: "json", fields });

      expect(JSON.parse(result).items[0].labels).toEqual({ team: "x" });
    },
  );

  test("asked for a whole and its part shows the whole as it is in plain text, too", async () => {
    const { result } = await render({ fields: ["labels", "labels.zone"] });

    expect(result).toBe('{"team":"x"}\t\n{}\t\n');
  });

  test("reduces the elements of JSON and leaves the rest of the document", async () => {
    const { result } = await render({ format: "json", fields: ["slug", "parent.slug", "labels.team"] });

    expect(JSON.parse(result)).toEqual({
      schemaVersion: 1,
      items: [
        { slug: "a", parent: { slug: "p" }, labels: { team: "x" } },
        { slug: "b", parent: null, labels: { team: null } },
      ],
      nextCursor: "c1",
    });
  });

  test("makes the columns of plain text, in the order asked for", async () => {
    const { result } = await render({ fields: ["parent.slug", "slug", "labels"] });

    expect(result).toBe('p\ta\t{"team":"x"}\n\tb\t{}\n');
  });

  test("cannot be led to JavaScript's own properties", async () => {
    const { result } = await render({ fields: ["labels.constructor"] });

    expect(result).toBe("\n\n");
  });
});

test.each([
  ["a terminal", true, false, { TERM: "xterm" }, 1],
  ["a better terminal", true, false, { TERM: "xterm-256color" }, 2],
  ["the best terminal", true, false, { TERM: "xterm", COLORTERM: "truecolor" }, 3],
  ["a pipe", false, false, { TERM: "xterm", FORCE_COLOR: "1" }, 0],
  ["NO_COLOR", true, false, { TERM: "xterm", NO_COLOR: "1" }, 0],
  ["an empty NO_COLOR", true, false, { TERM: "xterm", NO_COLOR: "" }, 1],
  ["--no-color", true, true, { TERM: "xterm" }, 0],
  ["a dumb terminal", true, false, { TERM: "dumb" }, 0],
] as const)("%s has colour level as it should", (_what, isTerminal, noColor, env, level) => {
  expect(colorLevel(isTerminal, noColor, env)).toBe(level);
});

test.each([
  ["2026-03-01T12:00:01Z", "now"],
  ["2026-03-01T11:59:10Z", "50s ago"],
  ["2026-03-01T12:30:00Z", "in 30m"],
  ["2026-02-28T18:00:00Z", "18h ago"],
  ["2026-03-11T12:00:00Z", "in 10d"],
  ["2026-05-30T12:00:00Z", "in 13w"],
  ["not a time", "not a time"],
])("%s is shown as %s", (at, shown) => {
  expect(formatRelative(at, piped.now)).toBe(shown);
});

describe("a line on a terminal", () => {
  const sentence = "Whoever reads this reads words, and no halves of them.";

  test.each([
    [
      "that is a sentence goes on between words",
      true,
      "Whoever reads this\nreads words, and no\nhalves of them.\n",
    ],
    ["that is an exact text is let be", false, `${sentence}\n`],
  ])("%s", async (_, words, shown) => {
    const view = [{ kind: "line", words, cells: [sentence] } as const];

    expect((await renderView(view, { ...onTerminal, columns: 20 })).result).toBe(shown);
    expect((await renderView(view, piped)).result).toBe(`${sentence}\n`);
  });

  test("of a field goes on beside its name", async () => {
    const view = [{ kind: "fields", fields: [["says", sentence]] } as const];

    const { result } = await renderView(view, { ...onTerminal, columns: 30, paint: (text) => text });

    expect(result).toBe("says  Whoever reads this reads\n      words, and no halves of\n      them.\n");
  });
});

describe("what is one thing to people and another to programs", () => {
  const showFile = defineVerb({
    path: ["file"],
    summary: "Show a file",
    examples: [],
    output: z.object({ text: z.string() }),
    async run() {
      return { document: { text: "" } };
    },
    view: ({ text }) => [
      {
        kind: "either",
        people: [
          { kind: "line", cells: ["a file"] },
          { kind: "notice", text: "to keep it: --out" },
        ],
        programs: text,
      },
    ],
  });

  test("is the one in a table, with its notices", async () => {
    expect(await renderDocument(showFile, { text: "{}\n" }, onTerminal)).toEqual({
      result: "a file\n",
      notices: "to keep it: --out\n",
    });
  });

  test("is the other in a pipe, as it is", async () => {
    expect(await renderDocument(showFile, { text: "{}\n" }, piped)).toEqual({ result: "{}\n", notices: "" });
  });
});
