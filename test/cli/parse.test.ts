import { describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { type AskMissing, parseWords, readInput, readWith } from "../../src/cli/parse.ts";
import { defineVerb, type Verb } from "../../src/cli/verb.ts";
import { MidctlError } from "../../src/domain/errors.ts";

const verb = defineVerb({
  path: ["thing", "make"],
  summary: "Make a thing",
  examples: [],
  args: [
    { name: "ref", summary: "which" },
    { name: "otherRef", summary: "more", variadic: true, optional: true },
  ],
  options: {
    owner: { value: "WHO", summary: "whose" },
    label: { value: "K=V", summary: "label", repeat: true },
    kind: { value: "KIND", summary: "what kind", choices: ["big", "small"], default: "small" },
    count: { value: "N", summary: "how many", schema: readWith(parseCount) },
    ifNotExists: { summary: "or take the one that exists" },
    noWait: { summary: "do not wait" },
  },
  output: z.object({}),
  async run() {
    return { document: {} };
  },
  view: () => [],
});

function parseCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new MidctlError("usage", `${text} is no number`, { hint: "a whole number" });
}

const nobodyToAsk: AskMissing = async (missing) => {
  throw new MidctlError("usage", `${missing.name} is missing`);
};

async function read(words: readonly string[], askMissing: AskMissing = nobodyToAsk, of: Verb = verb) {
  const { raw } = parseWords(of, words);
  return readInput(of, raw, askMissing);
}

describe("input", () => {
  test("has every argument and option, typed", async () => {
    const words =
      "a b --owner me --label x=1 --label y=2 c --count 3 --if-not-exists --kind big --no-wait".split(" ");

    expect(await read(words)).toEqual({
      ref: "a",
      otherRef: ["b", "c"],
      owner: "me",
      label: ["x=1", "y=2"],
      kind: "big",
      count: 3,
      ifNotExists: true,
      noWait: true,
    });
  });

  test("has undefined, empty lists, false and defaults for what was not given", async () => {
    expect(await read(["a"])).toEqual({
      ref: "a",
      otherRef: [],
      owner: undefined,
      label: [],
      kind: "small",
      count: undefined,
      ifNotExists: false,
      noWait: false,
    });
  });

  test("asks for a required argument that is missing, and judges the answer", async () => {
    const asked: string[] = [];
    const input = await read([], async (missing) => {
      asked.push(missing.name);
      return "answered";
    });

    expect(asked).toEqual(["REF"]);
    expect(input).toMatchObject({ ref: "answered" });
  });

  test("tells who asks what is wrong with an answer", async () => {
    let problem: string | undefined;
    await read([], async (missing) => {
      problem = missing.problem?.("");
      return "x";
    });

    expect(problem).toBe("REF: must not be empty");
  });
});

describe("usage errors", () => {
  test.each([
    ["an unknown option", ["a", "--onwer", "x"], "`midctl thing make` has no option --onwer"],
    [
      "an unknown option with a value",
      ["a", "--secret=hunter2"],
      "`midctl thing make` has no option --secret",
    ],
    ["a value that is missing", ["a", "--owner"], "--owner needs a value"],
    ["a flag where a value belongs", ["a", "--owner", "--json"], "--owner needs a value"],
    ["an empty value", ["a", "--owner", ""], "--owner: must not be empty"],
    ["an empty argument", [""], "REF: must not be empty"],
    ["a value that is none of the choices", ["a", "--kind", "huge"], "--kind: must be one of big, small"],
    ["a value that the domain refuses", ["a", "--count", "x"], "--count: x is no number"],
    [
      "two formats at once",
      ["a", "--json", "--output", "table"],
      "--json and --output table exclude each other",
    ],
    ["an unknown format", ["a", "--output", "xml"], "--output: must be one of table, json, ndjson, plain"],
    ["a switch with a value", ["a", "--if-not-exists=1"], "--if-not-exists is a switch and takes no value"],
    ["a global switch with a value", ["a", "--yes=1"], "--yes is a switch and takes no value"],
    ["a missing argument", [], "REF is missing"],
  ])("%s", async (_what, words, message) => {
    await expect(read(words)).rejects.toMatchObject({ code: "usage", message });
  });

  test("suggest the option that was meant", async () => {
    await expect(read(["a", "--onwer", "x"])).rejects.toMatchObject({ hint: "did you mean --owner?" });
  });

  test("keep the hint of the domain", async () => {
    await expect(read(["a", "--count", "x"])).rejects.toMatchObject({ hint: "a whole number" });
  });

  test("count arguments without repeating them", async () => {
    const single = defineVerb({ ...definition, args: [{ name: "ref", summary: "which" }] });

    await expect(read(["a", "b"], nobodyToAsk, single)).rejects.toMatchObject({
      message: "too many arguments: `midctl thing show` takes REF",
    });
  });
});

const definition = {
  path: ["thing", "show"],
  summary: "Show a thing",
  examples: [],
  output: z.object({}),
  async run() {
    return { document: {} };
  },
  view: () => [],
};

test("a value that begins with two hyphens is taken after =", async () => {
  expect(await read(["a", "--owner=--odd"])).toMatchObject({ owner: "--odd" });
});
