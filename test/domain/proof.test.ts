import { generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  checkpointText,
  parseCheckpoint,
  type SignedCheckpoint,
  type VerifierKey,
  verifierKey,
  writeNote,
} from "../../src/domain/checkpoint.ts";
import { MidctlError } from "../../src/domain/errors.ts";
import { consistencyRanges, inclusionRanges, readRoots } from "../../src/domain/merkle.ts";
import {
  judgeProof,
  LONGEST_PROOF,
  type LogProof,
  parseProof,
  proofDocument,
  type Vouchers,
  writeProof,
} from "../../src/domain/proof.ts";

const ORIGIN = "midctl/410023d1-4410-4917-8398-a6a30891707e";
const NOBODY: Vouchers = { key: null, kept: null };
const LARGEST = 64;

const signer = generateKeyPairSync("ed25519");
const key = keyOf(signer.publicKey);

describe("every entry in every tree of up to 64", () => {
  it("is proven by its file, with the checkpoint of its head", async () => {
    for (let size = 1; size <= LARGEST; size += 1) {
      for (let index = 0; index < size; index += 1) {
        const proof = parseProof(writeProof(proofDocument(await inclusion(index, size))));
        expect(judgeProof(proof, { key, kept: null }), `${index} of ${size}`).toEqual({
          checked: "signature",
          vouched: [size],
        });
      }
    }
  });

  it("is not proven at any other index, whatever it says of its own", async () => {
    const size = 21;
    for (let index = 0; index < size; index += 1) {
      const good = await inclusion(index, size);
      for (let other = 0; other < size; other += 1) {
        if (other === index) continue;
        expect(failureOf({ ...good, index: other })).toBe("entry");
        expect(failureOf({ ...good, index: other, entry: entryOf(other) })).toBe("path");
      }
    }
  });
});

describe("every tree after every smaller one, up to 64", () => {
  it("is proven by its file, the empty one and the same one among them", async () => {
    for (let second = 0; second <= LARGEST; second += 1) {
      for (let first = 0; first <= second; first += 1) {
        const proof = parseProof(writeProof(proofDocument(await consistency(first, second))));
        expect(judgeProof(proof, { key, kept: null }), `${first} to ${second}`).toEqual({
          checked: "signature",
          vouched: [first, second],
        });
      }
    }
  });

  it("is not proven in the other direction", async () => {
    const { from, head, ...rest } = await consistency(3, 7);

    expect(failureOf({ ...rest, from: head, head: from })).toBe("path");
  });
});

describe("a proof of which anything was changed", () => {
  it.each([
    ["inclusion", () => inclusion(5, 11)],
    ["consistency", () => consistency(5, 11)],
  ])("is refused, bit by bit, unless its JSON says the very same: %s", async (_kind, make) => {
    const text = writeProof(proofDocument(await make()));
    const bytes = Buffer.from(text);
    const same: string[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = flip(bytes, bit).toString("utf8");
      if (!isTaken(changed)) continue;
      expect(JSON.parse(changed)).toEqual(JSON.parse(text));
      same.push(changed);
    }
    // The last newline, which may be another space.
    expect(same.every((changed) => changed.trimEnd() === text.trimEnd())).toBe(true);
  });

  it.each([
    ["inclusion", () => inclusion(5, 11)],
    ["consistency", () => consistency(5, 11)],
  ])("is refused without any one of its bytes: %s", async (_kind, make) => {
    const text = writeProof(proofDocument(await make())).trimEnd();
    for (let at = 0; at < text.length; at += 1) {
      expect(isTaken(text.slice(0, at) + text.slice(at + 1)), text.slice(at - 5, at + 5)).toBe(false);
    }
  });

  it("is refused with a hash more, a hash less, or two that changed places", async () => {
    const good = await inclusion(5, 11);
    const [first = Buffer.alloc(0), second = Buffer.alloc(0), ...rest] = good.path;

    expect(failureOf({ ...good, path: [...good.path, first] })).toBe("path");
    expect(failureOf({ ...good, path: good.path.slice(1) })).toBe("path");
    expect(failureOf({ ...good, path: [second, first, ...rest] })).toBe("path");
  });
});

describe("an entry", () => {
  it.each([
    ["that says it is another", '{"index": 6}'],
    ["that says nothing of it", '{"v": 1}'],
    ["that says it twice", '{"index": 5, "index": 5}'],
    ["that says it in text", '{"index": "5"}'],
    ["that is no object", "5"],
    ["that is no JSON", "index 5"],
    ["that is empty", ""],
  ])("%s is not proven at its place, though the tree has it there", async (_what, entry) => {
    const entries = entriesUpTo(8).with(5, entry);

    expect(failureOf(await inclusion(5, 8, entries))).toBe("entry");
  });

  it("is proven byte for byte, whatever characters are in it", async () => {
    const entry = `{"index": 5, "reason": "é \u{1f511} \\u0000 \u202e \u0007\ufffd"}`.replace(
      "\u0007",
      "\\u0007",
    );
    const proof = await inclusion(5, 8, entriesUpTo(8).with(5, entry));
    const text = writeProof(proofDocument(proof));

    expect(text).not.toMatch(/\u202e/);
    expect(judgeProof(parseProof(text), { key, kept: null }).checked).toBe("signature");
  });
});

describe("who vouches for the head", () => {
  it("is nobody where neither a key nor checkpoints are given: arithmetic alone", async () => {
    expect(judgeProof(await inclusion(5, 11), NOBODY)).toEqual({ checked: "arithmetic", vouched: [] });
  });

  it("is no other key than the one given", async () => {
    const other = keyOf(generateKeyPairSync("ed25519").publicKey);

    expect(failureOf(await inclusion(5, 11), { key: other, kept: null })).toBe("signature");
  });

  it("is no key where no checkpoint is there to be signed", async () => {
    const proof = unsigned(await inclusion(5, 11));

    expect(failureOf(proof, { key, kept: null })).toBe("signature");
  });

  it("is a checkpoint that was kept, of the same log, size and root, signed or not", async () => {
    const proof = unsigned(await inclusion(5, 11));
    const kept = [await checkpointOf(7), await checkpointOf(11), await checkpointOf(12)];

    expect(judgeProof(proof, { key: null, kept })).toEqual({ checked: "checkpoint", vouched: [11] });
    expect(judgeProof(proof, { key, kept })).toEqual({ checked: "signature", vouched: [11] });
  });

  it("is none of the checkpoints of other sizes, or of other logs", async () => {
    const proof = await inclusion(5, 11);
    const ofAnother = { ...(await checkpointOf(11)), origin: "midctl/another" };

    expect(failureOf(proof, { key: null, kept: [await checkpointOf(10), await checkpointOf(12)] })).toBe(
      "kept",
    );
    expect(failureOf(proof, { key: null, kept: [ofAnother] })).toBe("kept");
    expect(failureOf(proof, { key: null, kept: [] })).toBe("kept");
  });

  it("is nobody where a checkpoint of that size has another root, even beside one that has the same", async () => {
    const proof = await inclusion(5, 11);
    const forged = { ...(await checkpointOf(11)), root: Buffer.alloc(32) };

    expect(failureOf(proof, { key: null, kept: [await checkpointOf(11), forged] })).toBe("kept");
  });

  it("is not the signature under a kept checkpoint that does not hold", async () => {
    const proof = unsigned(await inclusion(5, 11));
    const good = await checkpointOf(11);
    const [signature] = good.signatures;
    const kept = [
      { ...good, signatures: signature ? [{ ...signature, signature: flip(signature.signature, 9) }] : [] },
    ];

    expect(judgeProof(proof, { key: null, kept }).checked).toBe("checkpoint");
    expect(failureOf(proof, { key, kept })).toBe("signature");
    // Nor is it beside one that does.
    expect(failureOf(await inclusion(5, 11), { key, kept })).toBe("signature");
  });

  it("may know one of two heads alone, and then vouches for that one", async () => {
    const proof = unsigned(await consistency(5, 11));

    expect(judgeProof(proof, { key: null, kept: [await checkpointOf(5)] }).vouched).toEqual([5]);
    expect(judgeProof(proof, { key: null, kept: [await checkpointOf(11)] }).vouched).toEqual([11]);
  });

  it("has to pass every check that was asked for with the same head", async () => {
    const { from, ...later } = await consistency(5, 11);
    const proof = { ...later, from: { ...from, checkpoint: null } };

    // The key signed the later one alone, and the earlier one alone was kept; what was kept is signed too.
    expect(judgeProof(proof, { key, kept: [await checkpointOf(5)] }).vouched).toEqual([5]);
    expect(failureOf(proof, { key, kept: [await checkpointOf(6)] })).toBe("kept");
  });

  it.each([
    ["size", { size: 12 }],
    ["root", { root: Buffer.alloc(32) }],
    ["origin", { origin: "midctl/another" }],
  ])("does not sign a checkpoint of another %s", async (_what, change) => {
    const good = await inclusion(5, 11);
    const head = { origin: ORIGIN, size: 11, root: good.head.root, ...change };
    const proof = { ...good, head: { ...good.head, checkpoint: noteOf(head) } };

    expect(failureOf(proof)).toBe("checkpoint");
    expect(failureOf(proof, { key, kept: null })).toBe("checkpoint");
  });
});

describe("what is no proof", () => {
  it.each<[string, (text: string) => string, RegExp]>([
    ["nothing", () => "", /its JSON ends too soon, at line 1, column 1;/],
    ["half of one", (text) => text.slice(0, 100), /ends too soon, at line 1, column 101/],
    ["one behind a byte order mark", (text) => `\ufeff${text}`, /not JSON, at line 1, column 1/],
    ["one with a raw NUL", (text) => text.replace("midctl/", "midctl/\0"), /not JSON, at line 1, column \d+/],
    ["two in one", (text) => text + text, /not JSON, at line 2, column 1/],
    ["a list", () => "[]", /it is no JSON object/],
    ["a text", () => '"proof"', /it is no JSON object/],
    ["four million brackets", () => "[".repeat(LONGEST_PROOF), /ends too soon, at line 1/],
    ["deep nesting", () => "[".repeat(1e6) + "]".repeat(1e6), /it is no JSON object/],
    ["another version", (text) => text.replace("proof@v1", "proof@v2"), /its version is not/],
    [
      "another schema version",
      (text) => text.replace("{", '{"schemaVersion":2,'),
      /its schemaVersion is not 1/,
    ],
    ["another kind", (text) => text.replace('"inclusion"', '"exclusion"'), /its kind is neither/],
    ["a field too many", (text) => text.replace("{", '{"roots":"x",'), /no field "roots" \(root\?\)/],
    ["a prototype", (text) => text.replace("{", '{"__proto__":{"size":1},'), /no field "__proto__"/],
    ["a field twice", (text) => text.replace("{", '{"size":11,'), /its field "size" is there twice/],
    [
      "a field twice, once in disguise",
      (text) => text.replace("{", '{"s\\u0069ze":11,'),
      /"size" is there twice/,
    ],
    ["no origin", (text) => text.replace('"origin"', '"index_"'), /no field "index_"/],
    ["an origin that is none", (text) => text.replace(`"${ORIGIN}"`, "7"), /its origin is no text/],
    ["half a character", (text) => text.replace("midctl/", "\\ud800/"), /its origin is not valid Unicode/],
    ["a negative size", (text) => text.replace('"size":11', '"size":-11'), /its size is no whole number/],
    ["a fraction", (text) => text.replace('"size":11', '"size":1.5'), /its size is no whole number/],
    ["a size in text", (text) => text.replace('"size":11', '"size":"11"'), /its size is no whole number/],
    [
      "a size beyond 2^53",
      (text) => text.replace('"size":11', '"size":9007199254740993'),
      /its size is no whole/,
    ],
    ["an endless size", (text) => text.replace('"size":11', '"size":1e400'), /its size is no whole number/],
    ["a huge index", (text) => text.replace('"index":5', '"index":1e300'), /its index is no whole number/],
    ["no index", (text) => text.replace('"index":5', '"index":null'), /its index is no whole number/],
    ["a short root", (text) => text.replace(/"root":"..../, '"root":"'), /its root is no hash of 32 bytes/],
    [
      "a root in hex",
      (text) => text.replace(/"root":"[^"]+/, `"root":"${"0a".repeat(32)}`),
      /its root is no hash/,
    ],
    ["base64 with stray bits", (text) => text.replace(/(.)="/, 'B="'), /(?:root|path\[\d\]) is no hash/],
    ["base64 without padding", (text) => text.replace('="', '"'), /(?:root|path\[\d\]) is no hash/],
    ["a path that is none", (text) => text.replace(/"path":.*$/m, '"path":{}}'), /its path is no list/],
    [
      "a path without end",
      (text) => text.replace(/"path":.*$/m, `"path":[${"1,".repeat(99)}1]}`),
      /its path is no list/,
    ],
    [
      "a hash that is none",
      (text) => text.replace(/"path":\["[^"]+"/, '"path":[5'),
      /its path\[0\] is no hash/,
    ],
    [
      "a checkpoint that is none",
      (text) => text.replace(/"checkpoint":"[^"]+/, '"checkpoint":"x'),
      /its checkpoint is no signed/,
    ],
    [
      "a head before it",
      (text) => text.replace('"from":null', '"from":{}'),
      /its from is not of a proof of inclusion/,
    ],
  ])("is %s, and it says why", async (_what, change, says) => {
    const text = change(writeProof(proofDocument(await inclusion(5, 11))));

    const error = refusalOf(() => parseProof(text));

    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(says) });
    expect(error?.message).toMatch(/; nothing was checked\.$/);
    expect(error?.message.length).toBeLessThan(300);
  });

  it.each<[string, string, RegExp]>([
    ["no head before it", "null", /its from is no JSON object/],
    ["a head before it with a field too many", '{"sise":1}', /no field "sise" in from \(size\?\)/],
    ["a head before it without a size", "{}", /its from\.size is no whole number/],
    ["a field of that head twice", '{"size":1,"size":1}', /"size" is there twice/],
  ])("is one of consistency with %s", async (_what, from, says) => {
    const document = JSON.stringify({ ...proofDocument(await consistency(5, 11)), from: "FROM" });

    expect(() => parseProof(document.replace('"FROM"', from))).toThrow(says);
  });
});

it("a proof is one whatever the order of its fields and the spaces between them, as --json prints it too", async () => {
  const document = proofDocument(await inclusion(5, 11));
  const reversed = Object.fromEntries(Object.entries({ schemaVersion: 1, ...document }).reverse());
  const text = JSON.stringify(reversed, null, 2).replaceAll("\n", "\r\n");

  expect(judgeProof(parseProof(text), { key, kept: null }).checked).toBe("signature");
});

function isTaken(text: string): boolean {
  return refusalOf(() => judgeProof(parseProof(text), { key, kept: null })) === null;
}

/** What fails; null where nothing does. */
function failureOf(proof: LogProof, vouchers = NOBODY): unknown {
  const error = refusalOf(() => judgeProof(proof, vouchers));
  expect(error?.code ?? "conflict").toBe("conflict");
  return error?.details.fails ?? null;
}

function refusalOf(work: () => unknown): MidctlError | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
}

function entryOf(index: number): string {
  return `{"v": 1, "at": "2026-05-01T12:00:00.000Z", "index": ${index}}`;
}

function entriesUpTo(size: number): string[] {
  return Array.from({ length: size }, (_, index) => entryOf(index));
}

async function inclusion(index: number, size: number, entries = entriesUpTo(size)) {
  return {
    kind: "inclusion",
    origin: ORIGIN,
    head: headOf(entries),
    index,
    entry: entries[index] ?? "",
    path: await readRoots(inclusionRanges(index, size), reading(entries)),
  } as const;
}

async function consistency(first: number, second: number) {
  const entries = entriesUpTo(second);
  return {
    kind: "consistency",
    origin: ORIGIN,
    from: headOf(entries.slice(0, first)),
    head: headOf(entries),
    path: await readRoots(consistencyRanges(first, second), reading(entries)),
  } as const;
}

function unsigned<Proof extends LogProof>(proof: Proof): Proof {
  const bare = { ...proof, head: { ...proof.head, checkpoint: null } };
  return "from" in bare ? { ...bare, from: { ...bare.from, checkpoint: null } } : bare;
}

function headOf(entries: readonly string[]) {
  const [size, root] = [entries.length, mth(entries)];
  return { size, root, checkpoint: noteOf({ origin: ORIGIN, size, root }) };
}

async function checkpointOf(size: number): Promise<SignedCheckpoint> {
  const parsed = parseCheckpoint(headOf(entriesUpTo(size)).checkpoint);
  if (parsed === null) throw new Error("no checkpoint");
  return parsed;
}

function noteOf(head: { readonly origin: string; readonly size: number; readonly root: Buffer }): string {
  const text = checkpointText(head);
  const signature = sign(null, Buffer.from(text), signer.privateKey);
  return writeNote({ text, signatures: [{ name: key.name, keyId: key.id, signature }] });
}

function keyOf(publicKey: KeyObject): VerifierKey {
  const { x = "" } = publicKey.export({ format: "jwk" });
  return verifierKey(ORIGIN, Buffer.from(x, "base64url"));
}

function reading(entries: readonly string[]) {
  return async (nodes: readonly { readonly level: number; readonly index: number }[]) =>
    nodes.map(({ level, index }) => mth(entries.slice(index * 2 ** level, (index + 1) * 2 ** level)));
}

/** MTH(D_n) of RFC 9162 §2.1.1, written down naively. */
function mth(entries: readonly string[]): Buffer {
  const [first = ""] = entries;
  if (entries.length === 0) return sha();
  if (entries.length === 1) return sha(Buffer.of(0), Buffer.from(first));
  const k = 2 ** (Math.ceil(Math.log2(entries.length)) - 1);
  return sha(Buffer.of(1), mth(entries.slice(0, k)), mth(entries.slice(k)));
}

function sha(...parts: readonly Buffer[]): Buffer {
  return hash("sha256", Buffer.concat(parts), "buffer");
}

function flip(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return flipped;
}
