import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkLabels, MAX_LABELS, parseLabel, parseLabels } from "../../src/domain/labels.ts";
import { refusal } from "./refusal.ts";

describe("a label", () => {
  it.each([
    ["team=payments", "team", "payments"],
    ["team=", "team", ""],
    ["q=a=b", "q", "a=b"],
    ["app.example/tier_1-x=1", "app.example/tier_1-x", "1"],
    ["constructor=x", "constructor", "x"],
    [`k=${"😀".repeat(255)}`, "k", "😀".repeat(255)],
  ])("%s is read", (text, key, value) => {
    expect(parseLabel(text)).toEqual({ key, value });
  });

  it.each([
    ["team", 'no "="'],
    ["", 'no "="'],
    ["=x", "not a label key"],
    ["Team=x", "not a label key"],
    ["te am=x", "not a label key"],
    ["-team=x", "not a label key"],
    ["team-=x", "not a label key"],
    ["__proto__=x", "not a label key"],
    ["k\n=x", "not a label key"],
    [`${"k".repeat(64)}=x`, "not a label key"],
    [`k=${"x".repeat(256)}`, "256 characters"],
    ["k=a\nb", "control characters"],
    ["k=\ud800", "control characters"],
  ])("%j is refused", (text, problem) => {
    const error = refusal(() => parseLabel(text));
    expect(error).toMatchObject({ code: "usage", hint: expect.any(String) });
    expect(error.message).toContain(problem);
  });
});

describe("labels together", () => {
  it("become one object with sorted keys", () => {
    expect(Object.entries(parseLabels(["b=2", "a=1", "b=2"]))).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
  });

  it("are refused when a key has two values", () => {
    expect(refusal(() => parseLabels(["a=1", "a=2"])).message).toContain("twice");
  });

  it(`are at most ${MAX_LABELS}`, () => {
    const many = Array.from({ length: MAX_LABELS + 1 }, (_, index) => `k${index}=v`);
    expect(Object.keys(parseLabels(many.slice(1)))).toHaveLength(MAX_LABELS);
    expect(refusal(() => parseLabels(many)).code).toBe("usage");
  });

  it("obey the same limits when they come as an object", () => {
    const key = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.stringMatching(/^[!-~]{0,20}$/), { noNullPrototype: true }),
        (labels) => {
          const texts = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
          expect(checkLabels(labels)).toEqual(parseLabels(texts));
        },
      ),
    );
    expect(refusal(() => checkLabels({ Team: "x" })).code).toBe("usage");
    expect(refusal(() => checkLabels({ team: "\0" })).code).toBe("usage");
  });
});
