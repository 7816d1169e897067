import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBearer } from "../../src/domain/bearer.ts";

const TOKEN = "mid_test_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000";

describe("a bearer's token", () => {
  it.each([
    ["after the scheme", `Bearer ${TOKEN}`],
    ["whatever the scheme's case", `bEARER ${TOKEN}`],
    ["after several spaces", `Bearer   ${TOKEN}`],
    ["with white space around the value, which is not part of it", ` \tBearer ${TOKEN} \t`],
    ["in the one value of a list", [`Bearer ${TOKEN}`]],
  ])("is read %s", (_, header) => {
    expect(readBearer(header)).toEqual({ ok: true, token: TOKEN });
  });

  it.each(["kanagent_0123", "a.b-c~d+e/f==", "1|laravel", "x:y", "x".repeat(512)])("may be %s", (token) => {
    expect(readBearer(`Bearer ${token}`)).toEqual({ ok: true, token });
  });
});

describe("a header is refused", () => {
  it.each([
    ["that is absent", undefined, "missing"],
    ["that is null", null, "missing"],
    ["that is empty", "", "missing"],
    ["of blanks", " \t ", "missing"],
    ["with no value", [], "missing"],
    ["that was given twice", [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`], "duplicated"],
    ["that was given twice and joined", `Bearer ${TOKEN}, Bearer ${TOKEN}`, "malformed"],
    ["that was given twice and joined tightly", `Bearer ${TOKEN},${TOKEN}`, "malformed"],
    ["without a token", "Bearer", "malformed"],
    ["with blanks for a token", "Bearer  ", "malformed"],
    ["with a tab for a space", `Bearer\t${TOKEN}`, "malformed"],
    ["with two words", "Bearer one two", "malformed"],
    ["with parameters", 'Bearer realm="x", token="y"', "malformed"],
    ["with the token alone", TOKEN, "other_scheme"],
    ["of Basic", "Basic dXNlcjpwYXNz", "other_scheme"],
    ["of a scheme that begins alike", `BearerX ${TOKEN}`, "other_scheme"],
    ["of a scheme in front of ours", `Basic Bearer ${TOKEN}`, "other_scheme"],
    ["with a letter outside of ASCII", "Bearer tokén", "malformed"],
    ["with a full-width letter", "Bearer ｔoken", "malformed"],
    ["with a long s, which some case folding takes for an s", "Bearer ſ", "malformed"],
    ["with NUL", "Bearer a\0b", "malformed"],
    ["with DEL", "Bearer a\x7f", "malformed"],
    ["with a line feed after it", `Bearer ${TOKEN}\n`, "malformed"],
    ["with another header in it", `Bearer ${TOKEN}\r\nX-Other: 1`, "malformed"],
    ["whose token is longer than 512 bytes", `Bearer ${"x".repeat(513)}`, "too_long"],
    ["longer than 8 KiB", `Bearer ${"x".repeat(8_192)}`, "too_long"],
    ["of 1 MiB of blanks", `Bearer ${" ".repeat(1 << 20)}`, "too_long"],
  ])("%s", (_, header, problem) => {
    expect(readBearer(header)).toEqual({ ok: false, problem });
  });

  it("or holds exactly one token of visible ASCII, whatever it says", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        const reading = readBearer(`Bearer ${text}`);
        if (reading.ok) expect(reading.token).toMatch(/^[!-~]+$/);
        if (reading.ok) expect(text.trim()).toBe(reading.token);
      }),
    );
  });

  it("in a time that grows with its length alone", () => {
    const started = performance.now();
    for (const filler of [" ", "\t", "x", "Bearer "]) readBearer(`Bearer ${filler.repeat(1_100)}\0`);

    expect(performance.now() - started).toBeLessThan(100);
  });
});
