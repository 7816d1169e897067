import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  canonicalScopes,
  grants,
  isScopeList,
  MAX_SCOPES,
  parseScope,
  parseScopes,
  sameScopes,
} from "../../src/domain/scope.ts";
import { refusal } from "./refusal.ts";

const words = fc.stringMatching(/^[a:]{1,4}$/);
const scopes = fc.tuple(words, fc.constantFrom("", "*")).map(([word, star]) => word + star);

describe("a scope", () => {
  it.each([
    "cards:read",
    "cards:*",
    "*",
    "midctl:introspect",
    "https://example.org/a?b=c#d",
    "x".repeat(128),
  ])("may be %s", (text) => {
    expect(parseScope(text)).toBe(text);
  });

  it.each([
    ["", "not empty"],
    ["cards:read cards:write", "once for each"],
    ["cards:read,cards:write", "once for each"],
    ["cards:read\n", "once for each"],
    ["*:read", "at the end"],
    ["cards:**", "at the end"],
    ["a*b*", "at the end"],
    ["x".repeat(129), "1 to 128"],
    ["é", "printable ASCII"],
    ['a"b', "printable ASCII"],
    ["a\\b", "printable ASCII"],
    ["a\x7f", "printable ASCII"],
    ["a\0", "printable ASCII"],
  ])("may not be %j", (text, advice) => {
    const error = refusal(() => parseScope(text));
    expect(error.code).toBe("usage");
    expect(error.hint).toContain(advice);
  });
});

describe("a set of scopes", () => {
  it("is sorted by code unit, each once", () => {
    expect(parseScopes(["b", "a", "B", "a", "_"])).toEqual(["B", "_", "a", "b"]);
  });

  it("has one form whatever order and repetition it was given in", () => {
    fc.assert(
      fc.property(fc.array(scopes), fc.array(scopes), (a, b) => {
        const shuffled = [...b, ...a, ...a.toReversed()];
        expect(canonicalScopes(shuffled)).toEqual(canonicalScopes([...a, ...b]));
        expect(sameScopes(shuffled, [...a, ...b])).toBe(true);
      }),
    );
  });

  it("differs from one with a scope more, or a prefix in place of what it covers", () => {
    expect(sameScopes(["a"], ["a", "b"])).toBe(false);
    expect(sameScopes(["a", "c"], ["a", "b"])).toBe(false);
    expect(sameScopes(["cards:*"], ["cards:*", "cards:read"])).toBe(false);
    expect(sameScopes([], [])).toBe(true);
  });

  it(`holds at most ${MAX_SCOPES}`, () => {
    const many = Array.from({ length: MAX_SCOPES + 1 }, (_, index) => `s${index}`);
    expect(parseScopes([...many.slice(1), "s1"])).toHaveLength(MAX_SCOPES);
    expect(refusal(() => parseScopes(many)).code).toBe("usage");
  });
});

describe("a required scope", () => {
  it.each<[string[], string, boolean]>([
    [["cards:read"], "cards:read", true],
    [["cards:read"], "cards:write", false],
    [["cards:read"], "cards:read:all", false],
    [["cards:read"], "cards", false],
    [["cards:*"], "cards:read", true],
    [["cards:*"], "cards:read:all", true],
    [["cards:*"], "cards", false],
    [["cards:*"], "card:read", false],
    [["cards:*"], "Cards:read", false],
    [["*"], "anything", true],
    [["a", "cards:*"], "cards:read", true],
    [["cards:*"], "cards:*", true],
    [["cards:read"], "cards:*", false],
    [["cards:re*"], "cards:*", false],
    [["cards:.*"], "cards:read", false],
    [[], "cards:read", false],
  ])("by %j: %s is %s", (held, required, expected) => {
    expect(grants(held, required)).toBe(expected);
  });

  it("is covered by whatever covers a scope that covers it", () => {
    const letters = ["", "a", ":"];
    const every = letters.flatMap((x) => letters.flatMap((y) => ["", "*"].map((star) => x + y + star)));
    for (const a of every)
      for (const b of every.filter((scope) => grants([a], scope)))
        for (const c of every.filter((scope) => grants([b], scope))) expect(grants([a], c)).toBe(true);
  });

  it("is covered by no scope without a star other than itself", () => {
    fc.assert(
      fc.property(words, words, (held, required) => {
        expect(grants([held], required)).toBe(held === required);
      }),
    );
  });
});

describe("a host's stored scopes", () => {
  it.each(["[]", '["cards:read"]', '["two words", ""]'])("may be %s", (text) => {
    expect(isScopeList(text)).toBe(true);
  });

  it.each(["", "cards:read", "{}", "null", '"a"', "[1]", '["a", null]', '["\\u0000"]', '["\\ud800"]'])(
    "are no list a credential can repeat: %j",
    (text) => {
      expect(isScopeList(text)).toBe(false);
    },
  );
});
