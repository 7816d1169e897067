import { describe, expect, it } from "vitest";
import { frameFaults, type LogFrame } from "../../src/domain/log-frame.ts";

const sound: LogFrame = {
  ...{ loose: [], veiled: [], others: [], first: null, last: null, environment: null },
  ...{ nameless: 0, isOvershadowed: false, heads: 1, environments: 1 },
};

describe("what holds the log's entries", () => {
  it("is as it was made", () => {
    expect(frameFaults(sound)).toEqual([]);
  });

  it.each([
    [{ heads: 2 }, /there are 2 heads/],
    [{ environments: 2 }, /2 environments/],
    [{ others: ["evil"] }, /in evil/],
    [{ isOvershadowed: true }, /before pg_catalog/],
    [{ nameless: 1 }, /1 entry has no index/],
  ])("is not, by %j", (change, says) => {
    expect(frameFaults({ ...sound, ...change })).toEqual([expect.stringMatching(says)]);
  });
});
