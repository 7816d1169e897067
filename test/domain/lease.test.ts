import { describe, expect, test } from "vitest";
import { clocksAgree, isInForce, type Lease, leaseEnd } from "../../src/domain/lease.ts";

const lease: Lease = { sent: { steady: 1000, wall: 50_000 }, length: 3000 };

/** So many ms after the lease was sent for, by each clock. */
const later = (steady: number, wall = steady) => ({ steady: 1000 + steady, wall: 50_000 + wall });

describe("a lease", () => {
  test("is in force from when it was sent for", () => {
    expect(isInForce(lease, later(0))).toBe(true);
  });

  test("ends a tenth sooner than others may think it over", () => {
    expect(leaseEnd(lease)).toBe(1000 + 2700);
    expect(isInForce(lease, later(2699))).toBe(true);
    expect(isInForce(lease, later(2700))).toBe(false);
  });

  test("is over on a machine that was suspended: its steady clock stood still, the wall clock went on", () => {
    expect(isInForce(lease, later(10, 60_000))).toBe(false);
  });

  test("is over where the wall clock was set back, since neither clock is believed then", () => {
    expect(isInForce(lease, later(500, -3_600_000))).toBe(false);
  });

  test("bears a wall clock that is nudged", () => {
    expect(clocksAgree(lease, later(2000, 2900))).toBe(true);
    expect(clocksAgree(lease, later(2000, 1100))).toBe(true);
    expect(clocksAgree(lease, later(2000, 3000))).toBe(false);
  });
});
