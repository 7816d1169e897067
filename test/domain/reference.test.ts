import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatApproval,
  formatCredential,
  formatReference,
  formatToken,
  parseReference,
} from "../../src/domain/reference.ts";
import { createPublicId, createToken, formatCommitment } from "../../src/domain/token.ts";
import { refusal, told } from "./refusal.ts";

describe("a reference", () => {
  it.each([
    ["codex-019a6f2e", { kind: "identity", slug: "codex-019a6f2e" }],
    ["mc", { kind: "identity", slug: "mc" }],
    ["mid", { kind: "identity", slug: "mid" }],
    ["mc_0123456789Ab", { kind: "credential", publicId: "0123456789Ab" }],
    ["at_0123456789Ab", { kind: "token", publicId: "0123456789Ab" }],
    ["at_k1", { kind: "token", publicId: "k1" }],
    ["at_V1StGXR8_Z5-", { kind: "token", publicId: "V1StGXR8_Z5-" }],
    ["ap_0123456789Ab", { kind: "approval", publicId: "0123456789Ab" }],
  ])("%s is read", (text, expected) => {
    expect(parseReference(text)).toEqual(expected);
  });

  it.each([
    ["", "Give a slug"],
    ["Codex-1", "Did you mean codex-1?"],
    ["\u0441odex-1", "Did you mean codex-1?"],
    ["codex-1 ", "Did you mean codex-1?"],
    ["x".repeat(64), "A slug is"],
    ["MC_0123456789Ab", "Did you mean mc_0123456789Ab?"],
    [" mc_0123456789Ab\n", "Did you mean mc_0123456789Ab?"],
    ["mc_0123456789A", "12 letters or digits"],
    ["mc_0123456789Abc", "12 letters or digits"],
    ["mc_0123456789A-", "12 letters or digits"],
    ["mc_", "12 letters or digits"],
    ["at_0123456789Abc", "12 letters or digits"],
    ["ap_k1", "12 letters or digits"],
    ["xx_0123456789Ab", "Give a slug"],
    ["mc_a mc_b", "Did you mean mc-a-mc-b?"],
  ])("%j is refused with advice", (text, advice) => {
    const error = refusal(() => parseReference(text));
    expect(error.code).toBe("usage");
    expect(error.hint).toContain(advice);
  });

  it.each([
    ["mc_1", "a credential's id"],
    ["ap_1", "an approval's id"],
  ])("%s is refused by its kind", (text, kind) => {
    expect(refusal(() => parseReference(text)).message).toContain(`is not ${kind}`);
  });

  it("is what it formats to, whatever the kind", () => {
    const id = createPublicId(randomBytes);
    for (const text of ["codex-1", formatCredential(id), formatToken(id), formatApproval(id)]) {
      expect(formatReference(parseReference(text))).toBe(text);
    }
  });

  it("is read or a usage error without control characters, whatever the text", () => {
    const near = fc.stringMatching(/^ ?(mc|at|ap|MC|xx|mid|mcc)_?[0-9A-Za-z_-]{0,14} ?$/);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), near), (text) => {
        let reference: ReturnType<typeof parseReference>;
        try {
          reference = parseReference(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "usage", hint: expect.any(String) });
          expect((error as Error).message).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
          return;
        }
        expect(formatReference(reference)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a secret given as a reference", () => {
  it.each<[string, (token: string) => string]>([
    ["a token", (token) => token],
    ["a token with a newline", (token) => `${token}\n`],
    ["a token in an assignment", (token) => `TOKEN=${token}`],
    ["a token cut short", (token) => token.slice(0, 30)],
    ["a token with a wrong checksum", (token) => `${token.slice(0, -1)}!`],
    ["a token in capitals", (token) => token.toUpperCase()],
  ])("%s is refused without echoing it, and says how to revoke it", (_, change) => {
    const given = change(createToken("live", randomBytes).text);
    const error = refusal(() => parseReference(given));
    expect(error).toMatchObject({
      code: "usage",
      message: expect.stringContaining("A token is no reference"),
    });
    expect(error.hint).toContain("revoke --token-stdin");
    expect(told(error)).not.toContain(given.slice(9, 25));
  });

  it("a commitment is refused without echoing its hash", () => {
    const token = createToken("test", randomBytes);
    const error = refusal(() => parseReference(formatCommitment(token)));
    expect(error.hint).toContain("--commitment");
    expect(told(error)).not.toContain(token.hash);
  });
});
