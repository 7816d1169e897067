import { describe, expect, test } from "vitest";
import { EventNumbers } from "../../src/operations/event-numbers.ts";

const writers = (writing: string[], next: number, ended: number) => ({
  writing,
  next: String(next),
  ended: String(ended),
});
const range = (from: number, to: number) => ({ from: String(from), to: String(to) });

describe("the numbers of agents' events", () => {
  test("asks for what is above the highest that was seen, and for nothing where there is no more", () => {
    const numbers = new EventNumbers("3");

    expect(numbers.isBehind("3")).toBe(false);
    expect(numbers.wanted("5")).toEqual([range(4, 5)]);
  });

  test("asks again for those that were passed over, until they have come", () => {
    const numbers = new EventNumbers("3");
    numbers.take(["6", "8"], true);
    expect(numbers.wanted("8")).toEqual([range(4, 5), range(7, 7)]);

    numbers.take(["5", "7"], true);

    expect(numbers.wanted("8")).toEqual([range(4, 4)]);
  });

  test("gives up what was passed over once all who wrote by then have ended, and it has been looked for once more", () => {
    const numbers = new EventNumbers("3");
    numbers.take(["5"], true);
    numbers.settle(writers(["2/7", "3/1"], 10, 9));
    numbers.settle(writers(["2/7"], 12, 12));
    numbers.take([], true);
    expect(numbers.wanted("5")).toEqual([range(4, 4)]);

    numbers.settle(writers(["4/1"], 14, 12));
    expect(numbers.wanted("5")).toEqual([range(4, 4)]);
    numbers.take([], true);

    expect(numbers.hasHoles).toBe(false);
  });

  test("waits for the oldest transaction too, which is all that a standby tells", () => {
    const numbers = new EventNumbers("3");
    numbers.take(["5"], true);
    numbers.settle(writers([], 10, 8));
    numbers.settle(writers([], 12, 9));
    numbers.take([], true);

    expect(numbers.hasHoles).toBe(true);
  });

  test("keeps what was looked for in part only", () => {
    const numbers = new EventNumbers("3");
    numbers.take(["5"], true);
    numbers.settle(writers([], 10, 10));

    numbers.take([], false);

    expect(numbers.wanted("5")).toEqual([range(4, 4)]);
  });

  test("counts as passed over what is missing among those that were there at the beginning", () => {
    const numbers = new EventNumbers("9");

    numbers.miss(range(5, 9), ["5", "8"]);

    expect(numbers.wanted("9")).toEqual([range(6, 7), range(9, 9)]);
  });
});
