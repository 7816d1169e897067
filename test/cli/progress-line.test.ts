import { expect, test } from "vitest";
import { progressAsBar } from "../../src/cli/progress-line.ts";

test.each([
  ["as wide as may be", { done: 1, failed: 0, of: 4 }, 80, `[${"=".repeat(10)}${" ".repeat(30)}] 1 of 4`],
  ["as wide as the terminal lets it", { done: 2, failed: 1, of: 4 }, 30, "[=====     ] 2 of 4, 1 failed"],
  ["no bar where there is no room", { done: 2, failed: 1, of: 4 }, 12, "2 of 4, 1 f"],
  ["full where there is nothing to do", { done: 0, failed: 0, of: 0 }, 20, "[==========] 0 of 0"],
])("the bar is %s", (_, step, columns, drawn) => {
  const bar = progressAsBar(step, columns);

  expect(bar).toBe(drawn);
  expect(bar.length).toBeLessThan(columns);
});
