import { expect, it } from "vitest";
import { witnessedFields } from "../../src/cli/views/witnessed.ts";
import type { Evidence } from "../../src/repository/evidence.ts";

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
