import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  parseCredentialName,
  parseDisplayName,
  parseLabelValue,
  parseOwner,
  parseProvider,
  parseReason,
  parseThreadId,
} from "../../src/domain/names.ts";
import { createToken } from "../../src/domain/token.ts";
import { refusal, told } from "./refusal.ts";

const texts = { parseDisplayName, parseOwner, parseReason, parseThreadId };

describe.each(Object.entries(texts))("%s", (name, parse) => {
  const longest = name === "parseReason" ? 1000 : 255;

  it("keeps what it is given", () => {
    for (const text of ["Codex", "Zoë 日本語 😀", "a  b", "x".repeat(longest), "😀".repeat(longest)]) {
      expect(parse(text)).toBe(text);
    }
  });

  it.each([
    "",
    " ",
    "\t\n",
    "x".repeat(longest + 1),
    "a\x1bb",
    "a\0b",
    "a\x9bb",
    "a\ud800b",
    " a",
    "a\u00a0",
  ])("refuses %j with advice", (text) => {
    expect(refusal(() => parse(text))).toMatchObject({ code: "usage", hint: expect.any(String) });
  });

  it("refuses a token without echoing it", () => {
    const { text } = createToken("live", randomBytes);
    expect(told(refusal(() => parse(`leaked: ${text}`)))).not.toContain(text.slice(9, 40));
  });
});

describe("free words", () => {
  it("may hold format characters in a display name, which output makes visible", () => {
    expect(parseDisplayName("a\u202eb")).toBe("a\u202eb");
    expect(parseDisplayName("👩‍🚀")).toBe("👩‍🚀");
  });

  it("may not in a thread id, which must be typed again", () => {
    expect(refusal(() => parseThreadId("a\u200bb")).message).toContain("\\u{200B}");
  });

  it("may break lines in a reason only", () => {
    expect(parseReason("first\n\tsecond")).toBe("first\n\tsecond");
    expect(refusal(() => parseDisplayName("first\nsecond")).code).toBe("usage");
    expect(refusal(() => parseReason("first\rsecond")).code).toBe("usage");
  });

  it("may be absent in a label's value", () => {
    expect(parseLabelValue("")).toBe("");
  });
});

describe("a credential name", () => {
  it.each(["default", "ci-runner", "a", "0", "x".repeat(63)])("may be %s", (text) => {
    expect(parseCredentialName(text)).toBe(text);
  });

  it.each(["", "Default", "ci_runner", "-a", "a-", "a b", "x".repeat(64), "a\n"])("may not be %j", (text) => {
    expect(refusal(() => parseCredentialName(text)).code).toBe("usage");
  });
});

describe("a provider", () => {
  it.each(["codex", "4", "x".repeat(63)])("may be %s", (text) => {
    expect(parseProvider(text)).toBe(text);
  });

  it.each(["", "Codex", "open-ai", "open_ai", "codex\n", "x".repeat(64)])("may not be %j", (text) => {
    expect(refusal(() => parseProvider(text)).code).toBe("usage");
  });
});
