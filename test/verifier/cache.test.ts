import { beforeEach, describe, expect, test } from "vitest";
import type { Accepted } from "../../src/operations/decide.ts";
import { type Cached, DecisionCache } from "../../src/operations/verifier/cache.ts";

const decision = { ok: true } as Accepted;

function answer(ids: readonly string[], until = Number.POSITIVE_INFINITY): Cached {
  return { decision, publicId: ids[0] ?? "", ids, until, noteEvery: 60_000, noteAt: 0 };
}

const at = (ms: number) => ({ steady: ms, wall: ms });
const LEASE = { sent: at(0), length: 3000 };

let cache: DecisionCache;
beforeEach(() => {
  cache = new DecisionCache(100);
});

describe("without a lease", () => {
  test("nothing is kept", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(0));

    expect(cache.get("h", at(0))).toBeNull();
  });
});

describe("under a lease", () => {
  beforeEach(() => cache.hold(LEASE, false));

  test("an answer is given again", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));

    expect(cache.get("h", at(2))?.decision).toBe(decision);
  });

  test("an answer ends with the life it speaks of", () => {
    cache.add("h", answer(["c"], 500), cache.epoch, at(1));

    expect(cache.get("h", at(499))).not.toBeNull();
    expect(cache.get("h", at(500))).toBeNull();
  });

  test("no answer outlives the lease", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));

    expect(cache.get("h", at(2700))).toBeNull();
    cache.hold({ sent: at(2800), length: 3000 }, false);
    expect(cache.get("h", at(2801))).toBeNull();
  });

  test("an extension carries answers on", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));
    cache.hold({ sent: at(1000), length: 3000 }, true);

    expect(cache.get("h", at(3500))).not.toBeNull();
  });

  test.each([["credential"], ["identity"], ["ancestor"]])("a change of its %s ends an answer", (id) => {
    cache.add("h", answer(["credential", "identity", "ancestor"]), cache.epoch, at(1));
    cache.letGo([id]);

    expect(cache.get("h", at(2))).toBeNull();
    expect(cache.size).toBe(0);
  });

  test("a change of something else leaves it", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));
    cache.letGo(["other"]);

    expect(cache.get("h", at(2))).not.toBeNull();
  });

  test("a change of all ends all", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));
    cache.letGo(["*"]);

    expect(cache.get("h", at(2))).toBeNull();
  });

  test("what was being read while a change was heard is not kept", () => {
    const epoch = cache.epoch;
    cache.letGo(["other"]);
    cache.add("h", answer(["c"]), epoch, at(1));

    expect(cache.get("h", at(2))).toBeNull();
  });

  test("what was read before the lease is not kept", () => {
    const fresh = new DecisionCache(100);
    const epoch = fresh.epoch;
    fresh.hold(LEASE, false);
    fresh.add("h", answer(["c"]), epoch, at(1));

    expect(fresh.get("h", at(2))).toBeNull();
  });

  test("it holds no more than its room, and what is asked for stays", () => {
    cache.add("kept", answer(["kept"]), cache.epoch, at(1));
    for (let i = 0; i < 1000; i++) {
      cache.add(`h${i}`, answer([`c${i}`]), cache.epoch, at(1));
      cache.get("kept", at(1));
    }

    expect(cache.size).toBeLessThanOrEqual(101);
    expect(cache.get("kept", at(2))).not.toBeNull();
    expect(cache.get("h0", at(2))).toBeNull();
  });

  test("an answer that moved from one generation to the next is let go of in both", () => {
    cache.add("h", answer(["c"]), cache.epoch, at(1));
    for (let i = 0; i < 50; i++) cache.add(`h${i}`, answer([`c${i}`]), cache.epoch, at(1));
    cache.get("h", at(1));
    cache.letGo(["c"]);

    expect(cache.get("h", at(2))).toBeNull();
  });
});
