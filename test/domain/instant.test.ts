import { describe, expect, test } from "vitest";
import { parseEnd } from "../../src/domain/instant.ts";

describe("an end", () => {
  test.each([
    ["2027-01-31", { at: "2027-01-31T00:00:00.000Z" }],
    ["2027-01-31T18:00:00Z", { at: "2027-01-31T18:00:00.000Z" }],
    ["2027-01-31T18:00:00.5+02:00", { at: "2027-01-31T16:00:00.500Z" }],
    ["2028-02-29", { at: "2028-02-29T00:00:00.000Z" }],
    ["30d", { seconds: 2_592_000 }],
  ])("%s is a moment, or so many seconds from now", (text, end) => {
    expect(parseEnd(text)).toEqual(end);
  });

  test.each([
    "2027-02-29",
    "2027-13-01",
    "2027-01-31T18:00:00",
    "2027-01-31T25:00:00Z",
    "2027-1-31",
    "tomorrow",
    "",
    "0d",
    "0000-01-01",
    "0000-12-31T23:59:59Z",
    "0001-01-01T00:00:00+02:00",
    "9999-12-31T23:59:59-02:00",
  ])("%j is none", (text) => {
    expect(() => parseEnd(text)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
