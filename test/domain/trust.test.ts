import { describe, expect, test } from "vitest";
import { parsePolicy } from "../../src/domain/policy.ts";
import { identifySigner, readTrust, type TrustTexts } from "../../src/domain/trust.ts";
import { makeKey, NAMESPACE } from "../support/ssh.ts";
import { refusal } from "./refusal.ts";

const NOON = Date.parse("2026-06-01T12:00:00Z");
const message = Buffer.from("the bytes that people approve");
const [alice, bob, carol] = [makeKey("ssh-ed25519"), makeKey("ssh-ed25519"), makeKey("ssh-ed25519")];
const three = `alice ${alice.line}\nbob ${bob.line}\ncarol ${carol.line}\n`;

function trustOf(texts: Partial<TrustTexts>) {
  return readTrust({ allowedSigners: three, policy: "{}", revokedKeys: null, ...texts });
}

describe("a policy", () => {
  test("that says nothing asks for one approval of a signed request, of any database, and lets nobody break the glass", () => {
    expect(parsePolicy("{}")).toEqual({ quorum: 1, requesterSigns: true, breakGlass: [], databases: null });
  });

  test("says what it says", () => {
    const policy = {
      quorum: 2,
      requesterSigns: false,
      breakGlass: ["alice"],
      databases: ["0b0e7c1e-6a51-4d8e-9b1a-0c3d5e7f9a1b"],
    };

    expect(parsePolicy(JSON.stringify(policy))).toEqual(policy);
  });

  test.each([
    ["no JSON", "quorum: 2", /no JSON/],
    ["nothing", "", /no JSON/],
    ["a list", "[]", /no JSON object/],
    ["an unknown member", '{"quorom":2}', /"quorom" is unknown/],
    ["a member __proto__", '{"__proto__":{"quorum":2}}', /is unknown/],
    ["a member twice", '{"quorum":2,"quorum":1}', /given twice/],
    ["a member twice, once escaped", '{"quorum":2,"\\u0071uorum":1}', /given twice/],
    ["a quorum of 0", '{"quorum":0}', /quorum/],
    ["half a quorum", '{"quorum":1.5}', /quorum/],
    ["a quorum in words", '{"quorum":"2"}', /quorum/],
    ["a quorum of null", '{"quorum":null}', /quorum/],
    ["requesterSigns in words", '{"requesterSigns":"false"}', /requesterSigns/],
    ["one name in place of a list", '{"breakGlass":"alice"}', /breakGlass/],
    ["a name twice", '{"breakGlass":["alice","alice"]}', /breakGlass/],
    ["a name that is none", '{"breakGlass":[1]}', /breakGlass/],
    ["an empty list of databases", '{"databases":[]}', /databases/],
    ["a database by name", '{"databases":["production"]}', /databases/],
    ["a database in capitals", '{"databases":["0B0E7C1E-6A51-4D8E-9B1A-0C3D5E7F9A1B"]}', /databases/],
  ])("with %s is refused", (_name, text, message) => {
    const error = refusal(() => parsePolicy(text));

    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(message) });
    expect(error.hint).toMatch(/./);
  });

  test("may have colons in its names", () => {
    expect(parsePolicy('{"breakGlass":["a:\\"b:"]}').breakGlass).toEqual(['a:"b:']);
  });
});

describe("a policy and its signers", () => {
  test("do not fit where somebody without a key may break the glass", () => {
    const error = refusal(() => trustOf({ policy: '{"breakGlass":["alice","dave"]}' }));

    expect(error.message).toMatch(/policy\.json: breakGlass names "dave", who has no key/);
  });

  test("do not fit where the only key of who may break the glass is revoked", () => {
    expect(() => trustOf({ policy: '{"breakGlass":["alice"]}', revokedKeys: alice.line })).toThrow(/"alice"/);
  });

  test.each([
    ["three of three, since the one who requests does not count", three, '{"quorum":3}'],
    ["four of three", three, '{"quorum":4,"requesterSigns":false}'],
    [
      "two keys of one person",
      `alice ${alice.line}\nalice ${bob.line}\n`,
      '{"quorum":2,"requesterSigns":false}',
    ],
    ["one of one", `alice ${alice.line}`, "{}"],
    ["one of none", "", '{"requesterSigns":false}'],
    [
      "signers who may not approve",
      `alice ${alice.line}\nbob namespaces="midctl-request@v1" ${bob.line}`,
      '{"quorum":2}',
    ],
  ])("do not fit where the quorum is %s", (_name, allowedSigners, policy) => {
    const error = refusal(() => trustOf({ allowedSigners, policy }));

    expect(error.message).toMatch(/a quorum of \d can never be met|nobody can request/);
    expect(error.hint).toMatch(/./);
  });

  test("do not fit where a revoked key leaves too few", () => {
    expect(refusal(() => trustOf({ policy: '{"quorum":2}', revokedKeys: carol.line })).message).toMatch(
      /at most 1/,
    );
  });

  test("do not fit where nobody may request", () => {
    const allowedSigners = three.replaceAll(" ssh-", ' namespaces="midctl-approval@v1" ssh-');

    expect(refusal(() => trustOf({ allowedSigners })).message).toMatch(/nobody can request/);
    expect(trustOf({ allowedSigners, policy: '{"requesterSigns":false}' }).signers).toHaveLength(3);
  });

  test.each([
    ["two of three", three, '{"quorum":2}'],
    ["three of three where requests are not signed", three, '{"quorum":3,"requesterSigns":false}'],
    [
      "two beside one who only requests",
      `${three.replace("carol ", 'carol namespaces="midctl-request@v1" ')}`,
      '{"quorum":2}',
    ],
  ])("fit where the quorum is %s", (_name, allowedSigners, policy) => {
    expect(trustOf({ allowedSigners, policy }).policy.quorum).toBeGreaterThan(1);
  });

  test("are named with their directory in messages", () => {
    const texts = { allowedSigners: "alice", policy: "{}", revokedKeys: null };

    expect(refusal(() => readTrust(texts, "/etc/midctl/trust")).message).toMatch(
      /^\/etc\/midctl\/trust\/allowed_signers:1:/,
    );
  });
});

describe("a signer", () => {
  const signed = (armored: string) => ({ armored, message, namespace: NAMESPACE, at: NOON });

  test("is who the key says", () => {
    const found = identifySigner(trustOf({}), signed(bob.sign(message)));

    expect(found).toEqual({
      principal: "bob",
      fingerprint: expect.stringMatching(/^SHA256:[A-Za-z0-9+/]{43}$/),
      keyType: "ssh-ed25519",
    });
  });

  test("is nobody where the signature is bad, even by a key that has expired", () => {
    const trust = trustOf({ allowedSigners: three.replace("bob ", 'bob valid-before="20200101Z" ') });

    expect(identifySigner(trust, signed(bob.sign("other bytes")))).toEqual({ fault: "bad_signature" });
    expect(identifySigner(trust, signed(bob.sign(message)))).toEqual({ fault: "not_valid_then" });
  });

  test("is revoked even where no line names the key any more", () => {
    const stolen = makeKey("ssh-ed25519");
    const trust = trustOf({ revokedKeys: stolen.line });

    expect(identifySigner(trust, signed(stolen.sign(message)))).toEqual({ fault: "revoked_key" });
  });

  test("is nobody at no time", () => {
    expect(identifySigner(trustOf({}), { ...signed(bob.sign(message)), at: Number.NaN })).toEqual({
      fault: "not_valid_then",
    });
  });
});
