import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAllowedSigners, parseRevokedKeys, permitsNamespace } from "../../src/domain/allowed-signers.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { makeKey, wire } from "../support/ssh.ts";
import { refusal } from "./refusal.ts";

const [alice, bob] = [makeKey("ssh-ed25519"), makeKey("ecdsa-sha2-nistp256")];

function parse(text: string) {
  return parseAllowedSigners(text, "allowed_signers");
}

describe("a line of allowed_signers", () => {
  test("names a principal and a key", () => {
    const [signer] = parse(`alice@example.com ${alice.line} laptop of alice`);

    expect(signer).toMatchObject({
      principal: "alice@example.com",
      key: { type: "ssh-ed25519", blob: alice.blob.toString("base64") },
      namespaces: null,
      validAfter: null,
      validBefore: null,
      line: 1,
    });
  });

  test("takes its options", () => {
    const [signer] = parse(
      `alice namespaces="git,midctl-*",valid-after="20260101Z",valid-before="202702031830Z" ${alice.line}`,
    );

    expect(signer).toMatchObject({
      namespaces: "git,midctl-*",
      validAfter: Date.parse("2026-01-01T00:00:00Z"),
      validBefore: Date.parse("2027-02-03T18:30:00Z"),
    });
  });

  test("takes seconds, tabs and line ends of Windows", () => {
    const [signer] = parse(`\talice\tvalid-before="20270203183015Z"\t${alice.line}\r\n`);

    expect(signer).toMatchObject({ principal: "alice", validBefore: Date.parse("2027-02-03T18:30:15Z") });
  });

  test("counts for nothing where it is empty or a comment, and still for line numbers", () => {
    const signers = parse(`# who may approve\n\n   \t\n  # alice is away\nbob ${bob.line}\n`);

    expect(signers).toMatchObject([{ principal: "bob", line: 5 }]);
  });

  test("may give one principal several keys, and one key several lines", () => {
    const text = `alice ${alice.line}\nalice ${bob.line}\nalice namespaces="git" ${alice.line}\n`;

    expect(parse(text).map(({ line }) => line)).toEqual([1, 2, 3]);
  });

  test.each([
    ["a list of principals", `alice,bob ${alice.line}`, /exactly one principal/],
    ["any principal", `* ${alice.line}`, /exactly one principal/],
    ["a pattern", `alice?@example.com ${alice.line}`, /exactly one principal/],
    ["a negation", `!alice ${alice.line}`, /exactly one principal/],
    ["quotes", `"alice" ${alice.line}`, /exactly one principal/],
    ["letters that look like others", `аlice ${alice.line}`, /exactly one principal/],
    ["a certificate authority", `alice cert-authority ${alice.line}`, /Certificate authorities/],
    [
      "a certificate authority in capitals",
      `alice CERT-AUTHORITY,namespaces="git" ${alice.line}`,
      /Certificate authorities/,
    ],
    ["an unknown option", `alice no-touch-required ${alice.line}`, /no option that is known/],
    ["an option without quotes", `alice namespaces=git ${alice.line}`, /no option that is known/],
    ["an option that does not end", `alice namespaces="git ${alice.line}`, /no option that is known/],
    ["a comma at the end", `alice namespaces="git", ${alice.line}`, /no option that is known/],
    ["an option twice", `alice namespaces="a",namespaces="b" ${alice.line}`, /given twice/],
    ["no namespace", `alice namespaces="" ${alice.line}`, /empty or too long/],
    ["local time", `alice valid-before="20270131" ${alice.line}`, /local time/],
    ["a day that there is not", `alice valid-before="20270230Z" ${alice.line}`, /no moment in UTC/],
    ["an hour that there is not", `alice valid-before="202702032460Z" ${alice.line}`, /no moment in UTC/],
    ["a date of another form", `alice valid-before="2027-01-31Z" ${alice.line}`, /no moment in UTC/],
    [
      "an end before the beginning",
      `alice valid-after="20270131Z",valid-before="20270131Z" ${alice.line}`,
      /not later/,
    ],
    ["no key", "alice", /no key/],
    ["half a key", `alice ${alice.line.slice(0, -8)}`, /no key/],
    ["a key of another type than it says", `alice ssh-rsa ${alice.line.split(" ")[1]}`, /no key/],
    ["a DSA key", `alice ssh-dss ${wire("ssh-dss").toString("base64")}`, /no key/],
    ["a short RSA key", `alice ${makeKey("ssh-rsa", { rsaBits: 1024 }).line}`, /no key/],
    ["a certificate", `alice ssh-ed25519-cert-v01@openssh.com ${wire("x").toString("base64")}`, /no key/],
    ["control characters", `alice ${alice.line} \u001b[2J`, /control characters/],
    ["a key without principal", alice.line, /no option that is known|no key/],
  ])("with %s is refused, naming file and line, and saying what to do", (_name, line, message) => {
    const error = refusal(() => parse(`# first\n${line}\n`));

    expect(error.code).toBe("usage");
    expect(error.message).toMatch(/^allowed_signers:2: /);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(/./);
  });

  test("with the key of another principal is refused: one person must not count twice", () => {
    const error = refusal(() => parse(`alice ${alice.line}\nalice2 namespaces="git" ${alice.line}`));

    expect(error.message).toMatch(
      /^allowed_signers:2: One key stands under two principals, "alice" \(line 1\) and "alice2"/,
    );
  });

  test("with a principal that differs from another in case alone is refused", () => {
    expect(refusal(() => parse(`alice ${alice.line}\nAlice ${bob.line}`)).message).toMatch(
      /differ in case alone/,
    );
  });

  test("never breaks the parser, whatever it is", () => {
    const piece = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(
        "alice",
        " ",
        "\t",
        "\n",
        '"',
        ",",
        "=",
        "namespaces=",
        'valid-before="',
        "Z",
        alice.line,
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          for (const { principal } of parse(pieces.join(""))) expect(principal).toMatch(/^[\x21-\x7e]+$/);
        } catch (error) {
          expect(error).toBeInstanceOf(MidctlError);
        }
      }),
    );
  });
});

describe("the namespaces of a line", () => {
  test.each([
    [null, true],
    ["midctl-approval@v1", true],
    ["git,midctl-approval@v1", true],
    ["midctl-*", true],
    ["*@v?", true],
    ["**a**l@v1", true],
    ["*", true],
    ["git", false],
    ["midctl-approval", false],
    ["midctl-approval@v1x", false],
    ["MIDCTL-APPROVAL@V1", false],
    ["midctl-approval@v??", false],
    ["midctl.approval@v1", false],
    ["!git", false],
    ["*,!midctl-approval@v1", false],
    ["!midctl-*,*", false],
    ["", false],
  ])("%j permit the one of approvals: %s", (namespaces, permitted) => {
    expect(permitsNamespace({ namespaces }, "midctl-approval@v1")).toBe(permitted);
  });

  test("cost little, however many stars there are", () => {
    expect(permitsNamespace({ namespaces: `${"*a".repeat(400)}b` }, "a".repeat(200))).toBe(false);
  });
});

describe("revoked keys", () => {
  test("are read one a line, with comments and keys that could not sign anyway", () => {
    const dsa = `ssh-dss ${wire("ssh-dss").toString("base64")}`;

    const revoked = parseRevokedKeys(`# stolen in May\n${alice.line} laptop\n\n${dsa}\n`, "revoked_keys");

    expect(revoked.has(alice.blob.toString("base64"))).toBe(true);
    expect(revoked.size).toBe(2);
  });

  test.each([
    ["half a key", alice.line.slice(0, -8)],
    ["no key", "alice"],
    ["a fingerprint", "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDSz7AnRRCZNXLPYE4"],
    ["a line of allowed_signers", `alice ${alice.line}`],
  ])("with %s among them are refused, for that would stay good", (_name, line) => {
    const error = refusal(() => parseRevokedKeys(`\n${line}\n`, "revoked_keys"));

    expect(error.message).toMatch(/^revoked_keys:2: That is no public key/);
  });

  test("in a binary list are refused", () => {
    expect(refusal(() => parseRevokedKeys("SSHKRL\n\0", "revoked_keys")).message).toMatch(/binary/);
  });
});
