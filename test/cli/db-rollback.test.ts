import { expect, test } from "vitest";
import { viewDbRollback } from "../../src/cli/views/db-rollback.ts";

test("a rollback says where it kept the log only if it did", () => {
  const place = { kind: "server", location: "here", source: "flag" } as const;
  const said = (exported: string | null) =>
    JSON.stringify(viewDbRollback({ place, changed: true, entries: 1, exported }));

  expect(said("log.jsonl")).toContain("log.jsonl");
  expect(said(null)).not.toContain("exported");
});
