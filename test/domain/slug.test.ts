import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSlug, SLUG_PATTERN, slugFrom, suggest, threadSlug } from "../../src/domain/slug.ts";
import { createToken } from "../../src/domain/token.ts";
import { refusal, told } from "./refusal.ts";

const slugs = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/);

describe("a slug", () => {
  it.each(["a", "0", "codex-019a6f2e", "a--b", "x".repeat(63)])("may be %s", (text) => {
    expect(parseSlug(text)).toBe(text);
  });

  it.each<[string, string, string | null]>([
    ["Codex-1", "capital letters", "codex-1"],
    ["CODEX-019A6F2E-1111", "capital letters", "codex-019a6f2e-1111"],
    ["\u0441odex-1", 'U+0441, which looks like "c"', "codex-1"],
    ["c\u03bfdex-1", 'U+03BF, which looks like "o"', "codex-1"],
    ["ｃodex-1", 'U+FF43, which looks like "c"', "codex-1"],
    ["codex\u20131", 'U+2013, which looks like "-"', "codex-1"],
    ["codéx-1", 'U+00E9, which looks like "e"', "codex-1"],
    ["co\u200bdex-1", "U+200B", "codex-1"],
    ["日本", "U+65E5", null],
    ["codex-1\n", "U+000A", "codex-1"],
    ["\x1b[31m", "U+001B", null],
    [" codex-1", "not a slug", "codex-1"],
    ["codex_1", "not a slug", "codex-1"],
    ["codex 1", "not a slug", "codex-1"],
    ["codex/1", "not a slug", "codex-1"],
    ["-codex", "not a slug", "codex"],
    ["codex-", "not a slug", "codex"],
    ["-", "not a slug", null],
    ["", "empty", null],
    ["x".repeat(64), "64 characters", null],
  ])("may not be %j", (text, problem, suggestion) => {
    const error = refusal(() => parseSlug(text));
    expect(error).toMatchObject({ code: "usage", details: { suggestion } });
    expect(error.message).toContain(problem);
    expect(error.hint).toContain(suggestion ?? "A slug is 1 to 63");
  });

  it.each([
    ["a token", createToken("live", randomBytes).text],
    ["the beginning of a token", "mid_live_abc"],
    ["another system's token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"],
    ["something over-long", `x${"Secret".repeat(20)}`],
  ])("that is %s is not echoed", (_, text) => {
    const shown = told(refusal(() => parseSlug(text)));
    expect(shown).not.toContain(text.slice(0, 12));
    expect(shown).not.toContain(text.toLowerCase().slice(0, 12));
  });

  it("is itself or a usage error, and a suggestion is always a slug, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string(), slugs), (text) => {
        if (SLUG_PATTERN.test(text)) {
          expect(parseSlug(text)).toBe(text);
          return;
        }
        const error = refusal(() => parseSlug(text));
        expect(error.code).toBe("usage");
        const { suggestion } = error.details;
        if (suggestion !== null) expect(suggestion).toMatch(SLUG_PATTERN);
        expect(told(error)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a thread's slug", () => {
  it("is <provider>-<threadId>", () => {
    expect(threadSlug("codex", "019a6f2e-1b2c")).toBe("codex-019a6f2e-1b2c");
  });

  it.each([
    ["019A6F2E", "codex-019a6f2e"],
    ["thread_1", "codex-thread-1"],
    ["a b", "codex-a-b"],
    ["-a", "codex--a"],
    ["a-", "codex-a"],
  ])("is refused for %j rather than folded, and asks for a slug beside it", (threadId, example) => {
    const error = refusal(() => threadSlug("codex", threadId));
    expect(error.code).toBe("usage");
    expect(error.hint).toContain(`such as ${example}. The thread id is kept`);
  });

  it("is refused where both together are too long", () => {
    expect(threadSlug("codex", "x".repeat(57))).toHaveLength(63);
    expect(refusal(() => threadSlug("codex", "x".repeat(58))).code).toBe("usage");
  });

  it.each([
    ["Codex", "a"],
    ["", "a"],
    ["co-dex", "a"],
    ["codex", ""],
    ["codex", "a\nb"],
  ])("is refused for provider %j and thread %j", (provider, threadId) => {
    expect(refusal(() => threadSlug(provider, threadId)).code).toBe("usage");
  });

  it("is a slug, and different for different threads", () => {
    const pairs = fc.tuple(
      fc.stringMatching(/^[a-z0-9]{1,4}$/),
      fc.stringMatching(/^[a-z0-9](-?[a-z0-9]){0,5}$/),
    );
    fc.assert(
      fc.property(pairs, pairs, ([provider, thread], [otherProvider, otherThread]) => {
        const slug = threadSlug(provider, thread);
        expect(parseSlug(slug)).toBe(slug);
        const same = provider === otherProvider && thread === otherThread;
        expect(slug === threadSlug(otherProvider, otherThread)).toBe(same);
      }),
    );
  });
});

describe("did you mean", () => {
  it.each<[string, string[], string | null]>([
    ["codex-2", ["codex-1", "other"], "codex-1"],
    ["codxe-1", ["codex-1", "other"], "codex-1"],
    ["Codex-1", ["codex-1"], "codex-1"],
    ["codex-019a", ["codex-019a6f2e-1b2c-7d3e", "codex-77"], "codex-019a6f2e-1b2c-7d3e"],
    ["codex-0", ["codex-019a6f2e-1b2c", "codex-07777777777"], null],
    ["ci", ["deploy", "build"], null],
    ["deploy-bot", ["billing-bot"], null],
    ["ab", ["ac", "xy"], "ac"],
    ["list", ["lists", "last"], "lists"],
    ["", ["a"], "a"],
    ["anything", [], null],
  ])("%j among %j is %j", (input, candidates, expected) => {
    expect(suggest(input, candidates)).toBe(expected);
  });

  it("is one of the candidates or nothing, and the input itself where it is among them", () => {
    fc.assert(
      fc.property(slugs, fc.array(slugs), (input, candidates) => {
        const found = suggest(input, candidates);
        if (found !== null) expect(candidates).toContain(found);
        expect(suggest(input, [...candidates, input])).toBe(input);
      }),
    );
  });

  it("finds a slug again after one slip of the finger", () => {
    fc.assert(
      fc.property(slugs, fc.nat(), fc.constantFrom("drop", "double", "swap"), (slug, where, slip) => {
        fc.pre(slug.length >= 3);
        const at = where % (slug.length - 1);
        const rest = slug.slice(at + 1);
        const typed = {
          drop: slug.slice(0, at) + rest,
          double: slug.slice(0, at + 1) + slug[at] + rest,
          swap: slug.slice(0, at) + slug[at + 1] + slug[at] + slug.slice(at + 2),
        }[slip];
        expect(suggest(typed as string, ["zzzzzzzzzzzzzzzz", slug])).toBe(slug);
      }),
    );
  });
});

describe("a slug proposed for a name", () => {
  it.each([
    ["Codex on Laptop", "codex-on-laptop"],
    ["  --Émile's bot!--", "emile-s-bot"],
    ["x".repeat(100), "x".repeat(57)],
    [`${"x".repeat(56)} y`, "x".repeat(56)],
    ["长名字", null],
    ["", null],
  ])("%j is %j", (name, slug) => {
    expect(slugFrom(name)).toBe(slug);
  });

  it("is never made of what may be a secret", () => {
    expect(slugFrom(createToken("test", randomBytes).text)).toBeNull();
  });

  it("is a slug with room for a number behind it, whatever the name", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 80 }), (name) => {
        const slug = slugFrom(name);
        expect(slug === null || SLUG_PATTERN.test(`${slug}-99999`)).toBe(true);
      }),
    );
  });
});
