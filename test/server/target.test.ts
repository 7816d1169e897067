import { afterAll, beforeAll, expect, test } from "vitest";
import { readTarget } from "../../src/server/target.ts";
import { openStage, type Stage, sendRaw } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.dispose());

const ask = (target: string, more = "") =>
  sendRaw(stage.port, `GET ${target} HTTP/1.1\r\nHost: x\r\n${more}\r\n`);

test.each([
  "/mcp/../metrics",
  "/mcp/%2e%2e/metrics",
  "/mcp/.%2E/metrics",
  "/mcp/../auth",
  "/mcp/..;/metrics",
  "/mcp/..\\\\metrics",
  "/./metrics",
  "//metrics",
  "/metrics/",
  "/metrics/.",
  "/m%65trics",
  "/metrics%3f",
  "/metrics#",
  "/mcp?x=/../../metrics#/../metrics",
  "/METRICS",
  "http://x/mcp/../metrics",
  "http://x/mcp/%2e%2e/metrics",
  "http://x//metrics",
  "http://x",
  "ftp://x/metrics",
])("a path that is none of ours to the letter is 404: %s", async (target) => {
  const { status, text } = await ask(target);

  expect([status, text.includes("not_found")]).toEqual([404, true]);
});

test.each(["/auth%2f..", "/mcp/../auth", "/auth/../metrics"])(
  "nor does a body make it one of ours: %s",
  async (target) => {
    const { status } = await ask(target, "Content-Length: 0\r\n");

    expect(status).toBe(404);
  },
);

test.each([
  ["/metrics", 200],
  ["/healthz?x=1", 200],
  ["http://x/healthz", 200],
  ["HTTPS://user@x:1/healthz?x", 200],
  ["http://x/auth?scope=a", 401],
])("a path of ours is answered, in absolute form too: %s", async (target, expected) => {
  expect((await ask(target)).status).toBe(expected);
});

test("what is asked for is in no line of the log", async () => {
  await ask("/mcp/../mid_test_secret");

  await expect.poll(stage.log).toMatch(/GET \(other\) 404/);
  expect(stage.log()).not.toContain("mid_test_secret");
});

test.each([
  ["/auth?scope=a", "/auth?scope=a"],
  ["http://h/auth?scope=a", "/auth?scope=a"],
  ["/auth?scope=a#b", "/"],
  ["*", "/"],
  ["", "/"],
])("the target %j is read as %j", (url, target) => {
  expect(readTarget(url)).toBe(target);
});
