import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, MAX_DURATION, parseDuration } from "../../src/domain/duration.ts";
import { refusal } from "./refusal.ts";

describe("a duration", () => {
  it.each([
    ["1s", 1],
    ["90s", 90],
    ["30m", 1_800],
    ["24h", 86_400],
    ["30d", 2_592_000],
    ["2w", 1_209_600],
    ["007d", 604_800],
    ["3650d", MAX_DURATION],
    ["521w", 315_100_800],
  ])("%s is %d seconds", (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each([
    ["30", "30s, 30m, 30h or 30d"],
    ["-5d", "no sign"],
    ["+5d", "whole number"],
    ["0d", "The shortest is 1s"],
    ["1M", "30d"],
    ["1y", "365d"],
    ["1D", "1d"],
    ["99999d", "The longest is 3650d"],
    ["3651d", "The longest is 3650d"],
    [`${"9".repeat(400)}s`, "The longest is 3650d"],
    ["1.5h", "90m"],
    ["1h30m", "90m"],
    ["30 d", "30d"],
    [" 30d\n", "30d"],
    ["", "whole number"],
    ["d", "whole number"],
    ["forever", "whole number"],
    ["1e3s", "whole number"],
    ["0x10s", "whole number"],
    ["３０d", "whole number"],
    ["30d\0", "whole number"],
    ["30ms", "whole number"],
  ])("%j is refused with advice", (text, advice) => {
    const error = refusal(() => parseDuration(text));
    expect(error.code).toBe("usage");
    expect(error.hint).toContain(advice);
  });

  it("obeys limits of its own, and names them", () => {
    const grace = { atLeast: 0, atMost: 86_400 };
    expect(parseDuration("0s", grace)).toBe(0);
    expect(parseDuration("24h", grace)).toBe(86_400);
    expect(refusal(() => parseDuration("25h", grace)).hint).toBe("The longest is 1d.");
  });

  it("is a whole number of seconds in range, or a usage error, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^-?\d{1,9}\.?[smhdwMy]?$/)), (text) => {
        let seconds: number;
        try {
          seconds = parseDuration(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "usage", hint: expect.any(String) });
          return;
        }
        expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_DURATION).toBe(true);
      }),
    );
  });

  it("is read back from its short form", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_DURATION }), (seconds) => {
        expect(parseDuration(formatDuration(seconds))).toBe(seconds);
      }),
    );
  });

  it.each([
    [0, "0s"],
    [59, "59s"],
    [5_400, "90m"],
    [86_400, "1d"],
    [604_800, "7d"],
    [90_061, "90061s"],
  ])("of %d seconds is written %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});
