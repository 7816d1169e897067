import { expect, it } from "vitest";
import { witnessedFields } from "../../src/cli/views/witnessed.ts";
import type { Evidence } from "../../src/repository/evidence.ts";

it.each([
  ["checkpoint", 1, "1 thing: `midctl audit verify --checkpoint FILE` names it"],
  ["export", 2, "2 things: `midctl audit verify --export FILE` names them"],
] as const)("says of what was found against %s which command names it", (against, count, says) => {
  const found: Evidence = {
    ...{ what: "found", against, from: 0, size: 7, compared: 7, found: count, by: "owner" },
    ...{ at: "2026-11-27T00:00:00.000Z", root: "00".repeat(32) },
  };

  const fields = witnessedFields({ size: 7, verified: null, anchored: null, found: [found] });

  expect(fields).toContainEqual(["found wrong", { time: found.at, after: expect.stringContaining(says) }]);
});

it("says of evidence whose time is none that it is none", () => {
  // As the database gives a time of infinity.
  const verified: Evidence = {
    ...({
      what: "verified",
      against: "itself",
      from: 0,
      size: 7,
      compared: 0,
      found: 0,
      by: "owner",
    } as const),
    ...{ at: null, root: "00".repeat(32) },
  };

  const fields = witnessedFields({ size: 7, verified, anchored: null, found: [] });

  expect(fields).toContainEqual([
    "verified",
    "at no moment that there is, against itself alone, 7 entries read",
  ]);
});
