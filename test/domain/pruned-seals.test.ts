import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type PrunedSeal, PrunedSeals } from "../../src/domain/pruned-seals.ts";

describe("the hash of the events that went with a workspace", () => {
  it("is that of nothing where none did", () => {
    expect(new PrunedSeals().digest()).toBe(createHash("sha256").digest("hex"));
  });

  it("is over batches, blocks of 4,096 batches and all of them", () => {
    const seals = [seal(1, "a"), seal(1, "b"), seal(4_095, "c"), seal(4_096, "d"), seal(12_288, "e")];
    const line = ({ id }: PrunedSeal) => `${"00".repeat(32)} ${id} token -\n`;
    const batch = (...places: number[]) =>
      sha256(...places.map((at) => Buffer.from(line(seals[at] as PrunedSeal))));

    const hash = new PrunedSeals();
    for (const each of seals) hash.add(each);

    expect(hash.digest()).toBe(
      sha256(sha256(batch(0, 1), batch(2)), sha256(batch(3)), sha256(batch(4))).toString("hex"),
    );
  });

  it.each([
    ["leaf", { leaf: Buffer.alloc(32, 1) }],
    ["event", { id: "z" }],
    ["token", { token: null }],
    ["identity", { identity: "i" }],
    ["batch", { batch: 2 }],
  ])("is another where the %s is", (_, change) => {
    const [one, other] = [new PrunedSeals(), new PrunedSeals()];
    for (const hash of [one, other]) hash.add(seal(1, "a"));

    one.add(seal(1, "b"));
    other.add({ ...seal(1, "b"), ...change });

    expect(other.digest()).not.toBe(one.digest());
  });

  const seal = (batch: number, id: string): PrunedSeal => ({
    ...{ batch, id, leaf: Buffer.alloc(32), token: "token", identity: null },
  });
  const sha256 = (...parts: Buffer[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
});
