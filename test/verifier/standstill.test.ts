import { expect, test } from "vitest";
import { StandstillWatch } from "../../src/operations/verifier/standstill.ts";

const verifier = (renewals: string) => ({ id: "v", name: "host/1", leaseMs: 3000, renewals });

test("a verifier is dead when its renewals stood still for its lease", () => {
  const watch = new StandstillWatch();

  expect(watch.observe([verifier("7")], 100)).toEqual([]);
  expect(watch.observe([verifier("7")], 3099)).toEqual([]);
  expect(watch.observe([verifier("7")], 3100)).toEqual([verifier("7")]);
});

test("each renewal begins the wait anew", () => {
  const watch = new StandstillWatch();

  watch.observe([verifier("7")], 0);
  watch.observe([verifier("8")], 2000);

  expect(watch.observe([verifier("8")], 3500)).toEqual([]);
  expect(watch.observe([verifier("8")], 5000)).toEqual([verifier("8")]);
});

test("one that was away meanwhile is watched from its return", () => {
  const watch = new StandstillWatch();

  watch.observe([verifier("7")], 0);
  watch.observe([], 1000);

  expect(watch.observe([verifier("7")], 4000)).toEqual([]);
});
