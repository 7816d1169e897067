import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createToken } from "../../src/domain/token.ts";
import { hasInvisible, quote, visible } from "../../src/domain/visible.ts";

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u;

describe("visible text", () => {
  it.each([
    ["a colour sequence", "\x1b[31mred", "\\u{1B}[31mred"],
    ["a title sequence", "\x1b]0;root#\x07", "\\u{1B}]0;root#\\u{07}"],
    ["an 8-bit control", "\x9b2J", "\\u{9B}2J"],
    ["a line break", "a\nb\r", "a\\u{0A}b\\u{0D}"],
    ["a zero byte", "\0", "\\u{00}"],
    ["right-to-left override", "a\u202eb", "a\\u{202E}b"],
    ["an isolate", "\u2066x\u2069", "\\u{2066}x\\u{2069}"],
    ["a zero-width space", "a\u200bb", "a\\u{200B}b"],
    ["a soft hyphen", "a\u00adb", "a\\u{AD}b"],
    ["a line separator", "\u2028\u2029", "\\u{2028}\\u{2029}"],
    ["a tag character", "\u{e0041}", "\\u{E0041}"],
    ["private use", "\ue000", "\\u{E000}"],
    ["half a surrogate pair", "\ud83d", "\\u{D83D}"],
    ["a noncharacter", "\uffff", "\\u{FFFF}"],
  ])("shows %s", (_, text, expected) => {
    expect(visible(text)).toBe(expected);
  });

  it.each(["plain", "Zoë", "日本語", "😀", "a b", "C:\\temp", "\u00a0", "e\u0301"])(
    "leaves %j alone",
    (text) => {
      expect(visible(text)).toBe(text);
    },
  );

  it("holds nothing that a terminal obeys or hides, whatever the input", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(visible(text)).not.toMatch(INVISIBLE);
      }),
    );
  });

  it("changes those characters and no others", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1 }), (text) => {
        expect(visible(text) !== text).toBe(INVISIBLE.test(text));
        expect(hasInvisible(text)).toBe(INVISIBLE.test(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("stays the same when made visible again", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(visible(visible(text))).toBe(visible(text));
      }),
    );
  });
});

describe("quoted text", () => {
  it("is visible and in quotes", () => {
    expect(quote("a\x1b[0m")).toBe('"a\\u{1B}[0m"');
  });

  it("is cut after 80 characters, never in the middle of one", () => {
    expect(quote("😀".repeat(81))).toBe(`"${"😀".repeat(80)}…"`);
    expect(quote("x".repeat(80))).toBe(`"${"x".repeat(80)}"`);
  });

  it("never shows a token", () => {
    const { text } = createToken("live", randomBytes);
    expect(quote(`Bearer ${text}`)).not.toContain(text.slice(9, 30));
  });
});
