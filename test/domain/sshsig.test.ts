import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KEY_TYPES, parsePublicKey, readPublicKey } from "../../src/domain/ssh-key.ts";
import { checkSignature, parseSignature, verifySignature } from "../../src/domain/sshsig.ts";
import { armor, dearmor, makeKey, mpint, NAMESPACE, wire } from "../support/ssh.ts";

const message = Buffer.from(
  `{"action":"credential.rotate","reason":"${"a quarterly rotation, ".repeat(25)}"}`,
);
const keys = KEY_TYPES.map((type) => [type, makeKey(type)] as const);
const alice = makeKey("ssh-ed25519");

/** A fault's name, or the fingerprint of whoever signed. */
function verdictOn(armored: string, over: Uint8Array = message, namespace = NAMESPACE): string {
  const result = verifySignature(armored, over, namespace);
  return "fault" in result ? result.fault : result.key.fingerprint;
}

/** github.com/openssh/openssh-portable, regress/unittests/sshsig/testdata: made by hardware. */
const hardware = [
  [
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJsaDYXQYruc6bilCYDIK4YSOeG+zmrRO2M9t03//7LHAAAABHNzaDo=",
    `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgmxoNhd
Biu5zpuKUJgMgrhhI54b7OatE7Yz23Tf//sscAAAAEc3NoOgAAAAh1bml0dGVzdAAAAAAA
AAAGc2hhNTEyAAAAZwAAABpzay1zc2gtZWQyNTUxOUBvcGVuc3NoLmNvbQAAAEAi+7eTjW
/+LQ2M+sCD+KFtH1n7VFFJon/SZFsxODyV8cWTlFKj617Ys1Ur5TV6uaEXQhck8rBA2oQI
HTPANLIPARI0Vng=
-----END SSH SIGNATURE-----
`,
  ],
  [
    "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBKDVa5jRcT5V7E6ysmwVi7HJWh7p5D+hebLPakQcpnD2ajJZ6G/4WzuhlYWnclWY63JspDp299Rlhq5AT86/g8AAAAAEc3NoOg==",
    `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQ
AAAAhuaXN0cDI1NgAAAEEEoNVrmNFxPlXsTrKybBWLsclaHunkP6F5ss9qRBymcPZqMlno
b/hbO6GVhadyVZjrcmykOnb31GWGrkBPzr+DwAAAAARzc2g6AAAACHVuaXR0ZXN0AAAAAA
AAAAZzaGE1MTIAAAB3AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20A
AABIAAAAIHohGwyy8iKT3zwd1TYA9V/Ioo7h/3zCJUtyq/Qigt/HAAAAIGzidTwq7D/kFa
7Xjcp/KkdbIs4MfQpfAW/0OciajlpzARI0Vng=
-----END SSH SIGNATURE-----
`,
  ],
] as const;

describe("a signature", () => {
  test.each(keys)("by %s is verified, and names its key", (_type, key) => {
    const result = verifySignature(key.sign(message), message, NAMESPACE);

    expect(result).toMatchObject({ key: { type: key.type, blob: key.blob.toString("base64") } });
  });

  test.each(keys)("by %s over the hash sha256 is verified", (_type, key) => {
    expect(verdictOn(key.sign(message, { hashAlgorithm: "sha256" }))).toMatch(/^SHA256:/);
  });

  test.each(hardware)("by real hardware is verified: %s", (line, signature) => {
    const key = readPublicKey(...(line.split(" ") as [string, string]));

    expect(verdictOn(signature, Buffer.from("This is a test, this is only a test"), "unittest")).toBe(
      key?.fingerprint,
    );
  });

  test.each(keys)("by %s is not one of another message", (_type, key) => {
    expect(verdictOn(key.sign(message), Buffer.from(`${message} `))).toBe("bad_signature");
  });

  test("is not one in another namespace", () => {
    expect(verdictOn(alice.sign(message, { namespace: "file" }))).toBe("wrong_namespace");
  });

  test("without a namespace is none", () => {
    expect(verdictOn(alice.sign(message, { namespace: "" }), message, "")).toBe("wrong_namespace");
  });

  test("whose namespace was rewritten is none", () => {
    const bytes = dearmor(alice.sign(message, { namespace: "midctl-approval@v2" }));

    const moved = Buffer.from(bytes.toString("latin1").replace("@v2", "@v1"), "latin1");

    expect(verdictOn(armor(moved))).toBe("bad_signature");
  });

  test("moved to another key is none", () => {
    const other = makeKey("ssh-ed25519");

    expect(verdictOn(alice.sign(message, { alterKey: () => other.blob }))).toBe("bad_signature");
  });

  test.each(["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] as const)(
    "by %s that nobody touched is none",
    (type) => {
      expect(verdictOn(makeKey(type).sign(message, { flags: 0 }))).toBe("bad_signature");
    },
  );

  test("is not one by a key that it does not name, though that made it", () => {
    const signature = parseSignature(alice.sign(message, { alterKey: () => makeKey("ssh-ed25519").blob }));
    const key = parsePublicKey(alice.blob);

    expect(signature && key && checkSignature(signature, key, message, NAMESPACE)).toBe("bad_signature");
  });

  test("is verified by the key that is known already, without making it anew", () => {
    const known = parsePublicKey(alice.blob);

    const result = verifySignature(
      alice.sign(message),
      message,
      NAMESPACE,
      new Map([[known?.blob ?? "", known as never]]),
    );

    expect("key" in result && result.key).toBe(known);
  });

  test("with line ends of Windows, and without the last, is the same", () => {
    const signature = alice.sign(message);

    expect(verdictOn(signature.replaceAll("\n", "\r\n"))).toMatch(/^SHA256:/);
    expect(verdictOn(signature.trimEnd())).toMatch(/^SHA256:/);
  });
});

describe("malformed is", () => {
  const rsa = keys.find(([type]) => type === "ssh-rsa")?.[1] ?? alice;
  const ecdsa = makeKey("ecdsa-sha2-nistp256");
  const good = alice.sign(message);

  test.each([
    ["nothing", ""],
    ["text before it", `\n${good}`],
    ["text behind it", `${good}x`],
    ["an empty line within", good.replace("\n-----END", "\n\n-----END")],
    ["a blank within", good.replace("U1NI", "U1 NI")],
    ["two of them", good + good],
    ["another armour", good.replaceAll("SSH SIGNATURE", "PGP SIGNATURE")],
    ["no end", good.slice(0, -10)],
    ["base64 with stray bits", armor(Buffer.from(`${dearmor(good).toString("latin1")}\0`, "latin1"))],
    ["bytes behind the signature", alice.sign(message, { trailing: "x" })],
    ["a reserved field, which nobody signed", alice.sign(message, { reserved: "x" })],
    ["version 0", alice.sign(message, { version: 0 })],
    ["version 2", alice.sign(message, { version: 2 })],
    ["the hash sha384", alice.sign(message, { hashAlgorithm: "sha384" })],
    [
      "bytes behind the key",
      alice.sign(message, { alterKey: (blob) => Buffer.concat([blob, Buffer.from([0])]) }),
    ],
    [
      "bytes behind the inner signature",
      alice.sign(message, { alterInner: (inner) => Buffer.concat([inner, Buffer.from([0])]) }),
    ],
    [
      "an inner signature of another algorithm",
      alice.sign(message, { alterInner: (inner) => Buffer.concat([wire("ssh-rsa"), inner.subarray(15)]) }),
    ],
    [
      "an Ed25519 signature of 63 bytes",
      alice.sign(message, { alterInner: () => Buffer.concat([wire("ssh-ed25519"), wire(Buffer.alloc(63))]) }),
    ],
    ["RSA with SHA-1", rsa.sign(message, { algorithm: "ssh-rsa" })],
    ["RSA below 2048 bits", makeKey("ssh-rsa", { rsaBits: 1024 }).sign(message)],
    [
      "an RSA signature with a zero in front",
      rsa.sign(message, {
        alterInner: (inner) =>
          Buffer.concat([wire("rsa-sha2-512"), wire(Buffer.concat([Buffer.alloc(1), inner.subarray(20)]))]),
      }),
    ],
    [
      "an ECDSA number with a zero in front",
      ecdsa.sign(message, { alterInner: (inner) => paddedNumbers(inner) }),
    ],
    [
      "a certificate",
      alice.sign(message, {
        alterKey: () => Buffer.concat([wire("ssh-ed25519-cert-v01@openssh.com"), wire(Buffer.alloc(32))]),
      }),
    ],
    [
      "a point beside its curve",
      ecdsa.sign(message, {
        alterKey: (blob) => Buffer.concat([blob.subarray(0, -1), Buffer.from([(blob.at(-1) ?? 0) ^ 1])]),
      }),
    ],
    [
      "a point of another curve",
      ecdsa.sign(message, {
        alterKey: (blob) =>
          Buffer.from(blob.toString("latin1").replace("\bnistp256", "\bnistp384"), "latin1"),
      }),
    ],
    [
      "an RSA exponent with a zero in front",
      rsa.sign(message, {
        alterKey: (blob) =>
          Buffer.concat([wire("ssh-rsa"), wire(Buffer.from([0, 1, 0, 1])), wire(blob.subarray(-257))]),
      }),
    ],
    [
      "RSA with the exponent 1",
      rsa.sign(message, {
        alterKey: (blob) =>
          Buffer.concat([wire("ssh-rsa"), mpint(Buffer.from([1])), wire(blob.subarray(-257))]),
      }),
    ],
  ])("%s", (_name, armored) => {
    expect(verdictOn(armored)).toBe("malformed");
  });

  test.each([
    [48_000, /^SHA256:/],
    [49_200, /^malformed$/],
  ])("what is larger than 64 KiB, as with a namespace of %i characters", (length, verdict) => {
    const namespace = "x".repeat(length);

    expect(verdictOn(alice.sign(message, { namespace }), message, namespace)).toMatch(verdict);
  });

  /** The same r and s, each with a needless byte in front. */
  function paddedNumbers(inner: Buffer): Buffer {
    const at = wire("ecdsa-sha2-nistp256").length + 4;
    const r = inner.subarray(at + 4, at + 4 + inner.readUInt32BE(at));
    const s = inner.subarray(at + 4 + r.length + 4);
    const padded = [r, s].map((number) => wire(Buffer.concat([Buffer.from([0]), number])));
    return Buffer.concat([wire("ecdsa-sha2-nistp256"), wire(Buffer.concat(padded))]);
  }
});

describe("an ECDSA signature", () => {
  test.each([
    ["zero", Buffer.alloc(0)],
    [
      "as large as the group",
      Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex"),
    ],
  ])("with an r that is %s is none", (_name, r) => {
    const key = makeKey("ecdsa-sha2-nistp256");
    const numbers = Buffer.concat([r.length === 0 ? wire(r) : mpint(r), mpint(Buffer.from([1]))]);

    const armored = key.sign(message, { alterInner: () => Buffer.concat([wire(key.type), wire(numbers)]) });

    expect(["malformed", "bad_signature"]).toContain(verdictOn(armored));
  });
});

describe("no flipped bit is accepted", () => {
  const hostile = keys.filter(([type]) => type !== "ssh-rsa");

  test("in a message", () => {
    const signature = alice.sign(message);

    const accepted = everyFlip(message).filter((flipped) => !isFault(verdictOn(signature, flipped)));

    expect(message.length).toBeGreaterThan(570);
    expect(accepted).toEqual([]);
  });

  test.each(hostile)("in the bytes of a signature by %s", (_type, key) => {
    const bytes = dearmor(key.sign(message));

    // The counter of a hardware key is signed along, so that it is no exception.
    const accepted = everyFlip(bytes).filter((flipped) => !isFault(verdictOn(armor(flipped))));

    expect(accepted).toEqual([]);
  });

  test.each([
    keys[0] as (typeof keys)[number],
    keys[2] as (typeof keys)[number],
    keys[6] as (typeof keys)[number],
  ])("in the armour of a signature by %s", (_type, key) => {
    const armored = Buffer.from(key.sign(message));

    const accepted = everyFlip(armored).filter((flipped) => !isFault(verdictOn(flipped.toString("latin1"))));

    expect(accepted).toEqual([]);
  });

  function* flips(bytes: Buffer): Generator<Buffer> {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      yield copy;
    }
  }

  function everyFlip(bytes: Buffer): Buffer[] {
    return [...flips(bytes)];
  }

  function isFault(verdict: string): boolean {
    return !verdict.startsWith("SHA256:");
  }
});

describe("garbage never throws and is never accepted", () => {
  test.each([
    ["any text", fc.string()],
    ["armoured bytes", fc.uint8Array({ maxLength: 400 }).map(armor)],
    [
      "armoured fields",
      fc
        .array(
          fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(...KEY_TYPES, NAMESPACE, "sha512", "")),
          { maxLength: 8 },
        )
        .map((fields) => armor(Buffer.concat([Buffer.from("SSHSIG\0\0\0\u0001"), ...fields.map(wire)]))),
    ],
    [
      "a key with any inner signature",
      fc
        .tuple(fc.constantFrom(...keys.map(([, key]) => key)), fc.uint8Array({ maxLength: 300 }))
        .map(([key, inner]) => key.sign(message, { alterInner: () => Buffer.from(inner) })),
    ],
    [
      "any signature by any key",
      fc
        .tuple(fc.constantFrom(...keys.map(([, key]) => key)), fc.uint8Array({ maxLength: 300 }))
        .map(([key, value]) =>
          key.sign(message, { alterInner: () => Buffer.concat([wire(key.type), wire(value)]) }),
        ),
    ],
    [
      "any key",
      fc
        .tuple(fc.constantFrom(...KEY_TYPES), fc.uint8Array({ maxLength: 300 }))
        .map(([type, rest]) => alice.sign(message, { alterKey: () => Buffer.concat([wire(type), rest]) })),
    ],
  ])("%s", (_name, texts: fc.Arbitrary<string>) => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(verdictOn(text)).toMatch(/^(malformed|wrong_namespace|bad_signature)$/);
      }),
    );
  });
});
