import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkpointText,
  judgeNote,
  type Note,
  originOf,
  parseCheckpoint,
  parseLastCheckpoint,
  parseNote,
  parseVerifierKey,
  verifierKey,
  writeNote,
  writeVerifierKey,
} from "../../src/domain/checkpoint.ts";

/** The example of Go's golang.org/x/mod/sumdb/note, which C2SP's signed-note describes, with its two signers. */
const PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const BY_PETER =
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const BY_ENOCH =
  "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
const PETERS_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

/** The example of C2SP's tlog-checkpoint. */
const BEHIND_THE_SOFA = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
`;

describe("a signed note, as Go publishes it", () => {
  const note = `${TEXT}\n${BY_PETER}${BY_ENOCH}`;

  it.each([PETER, ENOCH])("has a good signature of %s", (key) => {
    expect(judgeNote(parsed(note), keyOf(key))).toBe("good");
  });

  it("is written as it was read, byte for byte", () => {
    expect(writeNote(parsed(note))).toBe(note);
  });

  it("knows nothing of a key that did not sign it", () => {
    expect(judgeNote(parsed(`${TEXT}\n${BY_ENOCH}`), keyOf(PETER))).toBe("absent");
  });

  it("ignores a signature that has the name of a key and the id of another", () => {
    const other = BY_ENOCH.replace("EnochRoot", "PeterNeumann");

    expect(judgeNote(parsed(`${TEXT}\n${BY_PETER}${other}`), keyOf(PETER))).toBe("good");
  });

  it("ignores a signature that has the id of a key and the name of another", () => {
    const other = BY_PETER.replace("PeterNeumann", "EnochRoot");

    expect(judgeNote(parsed(`${TEXT}\n${other}`), keyOf(PETER))).toBe("absent");
  });

  it("has a bad signature once its text is another", () => {
    expect(judgeNote(parsed(note.replace("problem is", "problem was")), keyOf(PETER))).toBe("bad");
  });

  it("has a bad signature where a second one of the same key does not hold", () => {
    const wrong = BY_PETER.replace("x08go/Z", "x08go/a");

    expect(judgeNote(parsed(`${TEXT}\n${BY_PETER}${wrong}`), keyOf(PETER))).toBe("bad");
  });

  it("is signed here as Go signs it, byte for byte", () => {
    const { privateKey } = peter();
    const { name, id } = keyOf(PETER);
    const signature = sign(null, Buffer.from(TEXT), privateKey);

    expect(writeNote({ text: TEXT, signatures: [{ name, keyId: id, signature }] })).toBe(
      `${TEXT}\n${BY_PETER}`,
    );
  });

  it("may have empty lines in its text", () => {
    expect(parsed(`one\n\ntwo\n\n${BY_PETER}`).text).toBe("one\n\ntwo\n");
  });

  it.each([
    ["without signatures", TEXT],
    ["with an empty line and nothing below it", `${TEXT}\n`],
    ["without the last newline", `${TEXT}\n${BY_PETER}`.slice(0, -1)],
    ["without a text", `\n\n${BY_PETER}`],
    ["with another dash", `${TEXT}\n${BY_PETER.replace("—", "-")}`],
    ["with two spaces", `${TEXT}\n${BY_PETER.replace("— ", "—  ")}`],
    ["with a word too many", `${TEXT}\n${BY_PETER.replace("=\n", "= more\n")}`],
    ["with a plus in a name", `${TEXT}\n${BY_PETER.replace("Neumann", "+")}`],
    ["with a space of Unicode in a name", `${TEXT}\n${BY_PETER.replace("rN", "r\u2003N")}`],
    ["with base64 that is not padded", `${TEXT}\n${BY_PETER.replace("=\n", "\n")}`],
    ["with a signature that is a key's id alone", `${TEXT}\n— PeterNeumann x08gow==\n`],
    ["with a carriage return", `${TEXT.replace("\n", "\r\n")}\n${BY_PETER}`],
    ["with half a character", `\ud800\n\n${BY_PETER}`],
    ["with 101 signatures", `${TEXT}\n${BY_PETER.repeat(101)}`],
  ])("is not one %s", (_what, text) => {
    expect(parseNote(text)).toBeNull();
  });
});

describe("a key in one line", () => {
  it("is written as it was read", () => {
    expect(writeVerifierKey(keyOf(PETER))).toBe(PETER);
  });

  it.each([
    ["of another length", "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="],
    ["with another's id", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
    ["of another algorithm", "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
    [
      "of another algorithm, with the id that Ed25519 would give",
      "PeterNeumann+c74f20a3+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
    ["with a space in its name", PETER.replace("rN", "r N")],
    ["without a name", PETER.replace("PeterNeumann", "")],
    ["without a key", "PeterNeumann+c74f20a3"],
  ])("is not one %s", (_what, text) => {
    expect(parseVerifierKey(text)).toBeNull();
  });
});

describe("a checkpoint", () => {
  it("is read as C2SP publishes it", () => {
    expect(parseCheckpoint(BEHIND_THE_SOFA)).toMatchObject({
      origin: "example.com/behind-the-sofa",
      size: 20852163,
      root: Buffer.from("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "base64"),
      extensions: [],
      signatures: [{ name: "example.com/behind-the-sofa", keyId: "033de0ae" }],
    });
  });

  it("is written as it was read", () => {
    const read = parseCheckpoint(BEHIND_THE_SOFA);

    expect(read && writeNote({ text: checkpointText(read), signatures: read.signatures })).toBe(
      BEHIND_THE_SOFA,
    );
  });

  it("of any size and root, signed here, is good by its key and by no other", () => {
    const { privateKey, publicKey } = peter();
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uuid(),
        (size, root, id) => {
          const origin = originOf(id);
          const text = checkpointText({ origin, size, root: Buffer.from(root) });
          const key = verifierKey(origin, publicKey);
          const signature = sign(null, Buffer.from(text), privateKey);
          const read = parseCheckpoint(
            writeNote({ text, signatures: [{ name: origin, keyId: key.id, signature }] }),
          );
          expect(read).toMatchObject({ origin, size, root: Buffer.from(root) });
          expect(read && judgeNote(read, key)).toBe("good");
          expect(read && judgeNote(read, verifierKey(origin, Buffer.alloc(32, 7)))).toBe("absent");
        },
      ),
    );
  });

  it("keeps lines that others added, as part of what is signed", () => {
    const read = parseCheckpoint(BEHIND_THE_SOFA.replace("q2I=\n", "q2I=\nmore\n"));

    expect(read?.extensions).toEqual(["more"]);
    expect(read?.text.endsWith("more\n")).toBe(true);
  });

  it.each([
    ["with a size that begins with zero", "20852163", "020852163"],
    ["with a size of zero in two digits", "20852163", "00"],
    ["with a negative size", "20852163", "-1"],
    ["with a size beyond 2^53", "20852163", "9007199254740993"],
    ["with a root of another length", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "CsUYapGGPo4dkMgI"],
    ["without an origin", "example.com/behind-the-sofa\n2", "\n2"],
    ["with an empty line after the root", "q2I=\n", "q2I=\n\nmore\n"],
  ])("is not one %s", (_what, from, to) => {
    expect(parseCheckpoint(BEHIND_THE_SOFA.replace(from, to))).toBeNull();
  });

  it("is found last, after others with as many signatures as they have", () => {
    const twice = BEHIND_THE_SOFA.replace("20852163", "7").concat(BY_PETER);

    expect(parseLastCheckpoint(twice + BEHIND_THE_SOFA)?.size).toBe(20852163);
    expect(parseLastCheckpoint(BEHIND_THE_SOFA + twice)?.signatures).toHaveLength(2);
  });

  it("is found last in a text that begins in the middle of another", () => {
    expect(parseLastCheckpoint(BEHIND_THE_SOFA.slice(10) + BEHIND_THE_SOFA)?.size).toBe(20852163);
  });

  it.each([
    ["nothing", ""],
    ["half a checkpoint at the end", BEHIND_THE_SOFA + BEHIND_THE_SOFA.slice(0, 60)],
    ["an empty line between two", `${BEHIND_THE_SOFA}\n${BEHIND_THE_SOFA}`],
  ])("is not told from %s", (_what, text) => {
    expect(parseLastCheckpoint(text)).toBeNull();
  });
});

function parsed(text: string): Note {
  const note = parseNote(text);
  if (note === null) throw new Error("no note");
  return note;
}

function keyOf(text: string) {
  const key = parseVerifierKey(text);
  if (key === null) throw new Error("no key");
  return key;
}

/** Go's own example key, whose seed is published with it. */
function peter() {
  const seed = Buffer.from(PETERS_SEED, "base64").subarray(1);
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const { x = "" } = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, publicKey: Buffer.from(x, "base64url") };
}
