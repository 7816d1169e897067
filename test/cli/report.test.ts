import { describe, expect, test } from "vitest";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { hasPassword, holdsToken, redact, redactUrl } from "../../src/cli/redact.ts";
import { errorAsJson, errorAsText, errorAsTrace } from "../../src/cli/report.ts";
import { type ErrorCode, MidctlError } from "../../src/domain/errors.ts";

const token = "mid_live_4fT0aZ81kQxw_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAbbbbbb";
const hash = "0123456789abcdef".repeat(4);

describe("exit codes", () => {
  test.each<[ErrorCode, number]>([
    ["internal", 1],
    ["usage", 2],
    ["not_found", 3],
    ["denied", 4],
    ["conflict", 5],
    ["illegal_transition", 5],
    ["approval_required", 6],
    ["unavailable", 7],
    ["schema_version", 7],
    ["partial", 8],
    ["undeliverable", 74],
    ["interrupted", 130],
  ])("%s is %i", (code, exit) => {
    expect(exitCodeOf(new MidctlError(code, "x"))).toBe(exit);
  });

  test("SIGTERM is 143", () => {
    expect(exitCodeOf(new MidctlError("interrupted", "x", { details: { signal: "SIGTERM" } }))).toBe(143);
  });

  test("anything unknown is 1", () => {
    expect(exitCodeOf(new TypeError("x"))).toBe(1);
  });
});

describe("an error", () => {
  test("is two lines for a person", () => {
    const error = new MidctlError("conflict", "there is one already", { hint: "use rotate" });

    expect(errorAsText(error)).toBe("error: There is one already.\nhint: use rotate\n");
  });

  test("is one JSON line for a program", () => {
    const error = new MidctlError("conflict", "There is\none.", { hint: "x", details: { id: "mc_1" } });

    expect(errorAsJson(error).split("\n")).toHaveLength(2);
    expect(JSON.parse(errorAsJson(error))).toEqual({
      error: { code: "conflict", message: "There is\none.", hint: "x", details: { id: "mc_1" } },
    });
  });

  test("shows what is invisible in it", () => {
    expect(errorAsText(new MidctlError("not_found", "no \u001B[2J\u202Eslug"))).toBe(
      "error: No \\u{1B}[2J\\u{202E}slug.\n",
    );
  });

  test("that midctl does not know is internal, named, and has no stack", () => {
    const text = errorAsText(new TypeError("x is undefined"));

    expect(text).toContain("TypeError: x is undefined");
    expect(text).not.toContain(" at ");
  });

  test("never shows a secret, a hash or a URL's password, in any form", () => {
    const cause = new Error(`cause ${token} ${hash}`);
    const error = new MidctlError("internal", `saw ${token} ${hash} postgres://me:hunter2@h/db`, {
      hint: token,
      details: { token, hash },
      cause,
    });

    for (const shown of [errorAsText(error), errorAsJson(error), errorAsTrace(error)]) {
      expect(shown).not.toContain("AAAA");
      expect(shown).not.toContain(hash);
      expect(shown).not.toContain("hunter2");
    }
    expect(errorAsTrace(error)).toContain("caused by");
  });
});

describe("redaction", () => {
  test.each([
    ["postgres://me:p%40ss@host/db", "postgres://me:***@host/db"],
    ["postgres://me:a:b@host/db", "postgres://me:***@host/db"],
    ["postgres://:pw@host/db", "postgres://:***@host/db"],
    ["postgres://host/db?password=x&sslmode=require", "postgres://host/db?password=***&sslmode=require"],
    ["postgres://me@host:5432/db", "postgres://me@host:5432/db"],
    ["postgres://host/db", "postgres://host/db"],
  ])("%s", (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
    expect(hasPassword(url)).toBe(url !== shown);
  });

  test("keeps a token's public id, which is no secret", () => {
    expect(redact(`x ${token} y`)).toBe("x mid_live_4fT0aZ81kQxw_[secret] y");
  });

  test.each([
    [token, true],
    [`--reason=${token}`, true],
    ["mid_live_abc_d", true],
    ["mc_4fT0aZ81kQxw", false],
    ["mid-term", false],
  ])("%s holds a token: %s", (word, expected) => {
    expect(holdsToken(word)).toBe(expected);
    expect(holdsToken(word)).toBe(expected);
  });
});
