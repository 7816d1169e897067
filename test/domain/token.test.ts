import { createHash, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  containsSecret,
  createPublicId,
  createToken,
  type EnvironmentKind,
  formatCommitment,
  hashLegacyToken,
  hashToken,
  isLegacyShaped,
  parseCommitment,
  parseToken,
  TOKEN_LENGTH,
  TOKEN_PATTERN,
} from "../../src/domain/token.ts";
import { refusal } from "./refusal.ts";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const kinds = fc.constantFrom<EnvironmentKind>("live", "test");
const tokens = kinds.map((kind) => createToken(kind, randomBytes));

/** An entropy that answers every call with the same byte. */
const always = (byte: number) => (count: number) => new Uint8Array(count).fill(byte);

describe("a token", () => {
  it("is mid_<env>_<id12>_<secret43><crc6>, 71 characters, whatever the random bytes", () => {
    fc.assert(
      fc.property(kinds, fc.integer({ min: 0, max: 247 }), (kind, byte) => {
        const { text } = createToken(kind, always(byte));
        expect(text).toMatch(TOKEN_PATTERN);
        expect(text).toHaveLength(71);
        expect(TOKEN_LENGTH).toBe(71);
      }),
    );
  });

  it("has one exact form for given random bytes", () => {
    expect(createToken("live", always(0))).toEqual({
      text: `mid_live_000000000000_${"0".repeat(43)}0zqUXa`,
      environment: "live",
      publicId: "000000000000",
      hash: "0e9282a1a52f3a6bfab557e2976f024f2063db2b3290c8504265e0f3ad97c805",
    });
  });

  it("carries all 256 bits of the secret", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (secret) => {
        const entropy = (count: number) => (count === 32 ? secret : always(1)(count));
        const digits = createToken("test", entropy).text.slice(22, 65);
        const value = [...digits].reduce((sum, digit) => sum * 62n + BigInt(BASE62.indexOf(digit)), 0n);
        expect(value.toString(16).padStart(64, "0")).toBe(Buffer.from(secret).toString("hex"));
      }),
    );
  });

  it("is read back as it was made", () => {
    fc.assert(
      fc.property(tokens, (token) => {
        expect(parseToken(token.text)).toEqual(token);
      }),
    );
  });

  it("is one word for a double-click", () => {
    fc.assert(
      fc.property(tokens, ({ text }) => {
        expect(text).toMatch(/^\w+$/);
      }),
    );
  });

  it("is refused with any one character changed", () => {
    fc.assert(
      fc.property(
        tokens,
        fc.nat({ max: 70 }),
        fc.constantFrom(...BASE62, "_", "-", "é", "\n"),
        ({ text }, at, other) => {
          fc.pre(text[at] !== other);
          expect(parseToken(text.slice(0, at) + other + text.slice(at + 1))).toBeNull();
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("is refused with two neighbours swapped", () => {
    fc.assert(
      fc.property(tokens, fc.nat({ max: 69 }), ({ text }, at) => {
        fc.pre(text[at] !== text[at + 1]);
        expect(parseToken(text.slice(0, at) + text[at + 1] + text[at] + text.slice(at + 2))).toBeNull();
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, (text: string) => string]>([
    ["a newline after it", (text) => `${text}\n`],
    ["a space before it", (text) => ` ${text}`],
    ["Bearer before it", (text) => `Bearer ${text}`],
    ["its last character missing", (text) => text.slice(0, -1)],
    ["a character too many", (text) => `${text}0`],
    ["all capitals", (text) => text.toUpperCase()],
    ["another environment", (text) => text.replace("_test_", "_live_")],
    ["an unknown environment", (text) => text.replace("_test_", "_prod_")],
    ["itself after it", (text) => `${text}\n${text}`],
  ])("is refused with %s", (_, change) => {
    expect(parseToken(change(createToken("test", randomBytes).text))).toBeNull();
  });

  it("is never found in other text, and looking never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(parseToken(text)).toBeNull();
      }),
    );
  });

  it("checks with the CRC-32 that everyone else uses", () => {
    // Bit by bit, as the definition has it, against the table in the code.
    const { text } = createToken("test", randomBytes);
    let crc = 0xffffffff;
    for (const byte of Buffer.from(text.slice(0, 65))) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    }
    const value = [...text.slice(65)].reduce((sum, digit) => sum * 62 + BASE62.indexOf(digit), 0);
    expect(value).toBe(~crc >>> 0);
  });
});

describe("a broken random source", () => {
  it("that gives too few bytes makes no token", () => {
    expect(refusal(() => createToken("test", () => new Uint8Array(8))).code).toBe("internal");
  });

  it("that gives only unusable bytes ends instead of looping for ever", () => {
    expect(refusal(() => createPublicId(always(255))).code).toBe("internal");
  });
});

describe("a public id", () => {
  it("is twelve base62 characters", () => {
    expect(createPublicId(randomBytes)).toMatch(/^[0-9A-Za-z]{12}$/);
  });

  it("favours no character: each byte below 248 counts once, four to a character, and none above", () => {
    const counts = new Map<string, number>();
    for (let byte = 0; byte < 256; byte++) {
      // The byte in question first, then zeroes: the id begins with its character, or with 0 where it is passed over.
      const entropy = (count: number) => Uint8Array.from({ length: count }, (_, at) => (at === 0 ? byte : 0));
      const first = createPublicId(entropy).charAt(0);
      if (byte < 248) counts.set(first, (counts.get(first) ?? 0) + 1);
      else expect(first).toBe("0");
    }
    expect([...counts.keys()].sort().join("")).toBe([...BASE62].sort().join(""));
    expect(new Set(counts.values())).toEqual(new Set([4]));
  });
});

describe("hashes", () => {
  it("of our tokens are hex SHA-256 behind midctl/token/v1 and a zero byte", () => {
    const expected = createHash("sha256")
      .update("midctl/token/v1")
      .update(Buffer.of(0))
      .update("abc")
      .digest("hex");
    expect(hashToken("abc")).toBe(expected);
  });

  it("of legacy tokens are the plain hex SHA-256 of their bytes", () => {
    expect(hashLegacyToken("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(hashLegacyToken("é")).toBe(createHash("sha256").update(Buffer.of(0xc3, 0xa9)).digest("hex"));
  });

  it("of the two kinds never agree, so a host without the library finds none of ours", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(hashToken(text)).not.toBe(hashLegacyToken(text));
      }),
    );
  });
});

describe("a legacy token", () => {
  it.each<[string, boolean, string]>([
    ["an ordinary string", true, "kan_7Hq"],
    ["512 bytes", true, "x".repeat(512)],
    ["513 bytes", false, "x".repeat(513)],
    ["256 characters of two bytes", true, "é".repeat(256)],
    ["257 characters of two bytes", false, "é".repeat(257)],
    ["nothing", false, ""],
    ["the beginning of ours", false, "mid_"],
    ["one of ours with a wrong checksum", false, `mid_live_000000000000_${"0".repeat(49)}`],
    ["mid without the underscore", true, "midnight"],
    ["capitals", true, "MID_x"],
  ])("may be: %s: %s", (_, expected, text) => {
    expect(isLegacyShaped(text)).toBe(expected);
  });
});

describe("a commitment", () => {
  it("names environment, id and hash, and not the secret", () => {
    fc.assert(
      fc.property(tokens, (token) => {
        const word = formatCommitment(token);
        expect(word).toBe(`mcc_${token.environment}_${token.publicId}_${token.hash}`);
        expect(parseCommitment(word)).toEqual({
          environment: token.environment,
          publicId: token.publicId,
          hash: token.hash,
        });
        expect(word).not.toContain(token.text.slice(22));
      }),
    );
  });

  it.each<[string, (word: string) => string]>([
    ["a newline after it", (word) => `${word}\n`],
    ["its hash in capitals", (word) => word.slice(0, 22) + word.slice(22).toUpperCase()],
    ["its hash cut short", (word) => word.slice(0, -1)],
    ["an unknown environment", (word) => word.replace("_test_", "_prod_")],
    ["a token's prefix", (word) => word.replace("mcc_", "mid_")],
  ])("is refused with %s", (_, change) => {
    const token = { ...createToken("test", randomBytes), hash: "ab".repeat(32) };
    expect(parseCommitment(change(formatCommitment(token)))).toBeNull();
  });
});

describe("a secret in other text", () => {
  it("is found anywhere, in any case, and cut short", () => {
    fc.assert(
      fc.property(tokens, fc.string(), fc.string(), (token, before, after) => {
        expect(containsSecret(before + token.text + after)).toBe(true);
        expect(containsSecret(before + token.text.toUpperCase() + after)).toBe(true);
        expect(containsSecret(token.text.slice(0, 40))).toBe(true);
        expect(containsSecret(formatCommitment(token))).toBe(true);
      }),
    );
  });

  it("is not seen in ordinary words", () => {
    for (const text of ["mid_live_", "codex-1", "mc_0123456789AB", "a reason that says mid_live_… leaked"]) {
      expect(containsSecret(text)).toBe(false);
    }
  });
});
