import { expect, it } from "vitest";
import { renderDocument } from "../../src/cli/output.ts";
import { auditVerify, type LogVerdict } from "../../src/cli/verbs/audit-verify.ts";

const SAYS =
  "entries 43 to 54 are unknown here: the database was restored from before they were made, or somebody took them away";

it("says all of a finding on a narrow terminal", async () => {
  const verdict: LogVerdict = {
    ok: false,
    origin: "midctl/test",
    size: 43,
    root: "",
    from: 0,
    against: "checkpoint",
    exported: null,
    compared: null,
    checkpoints: 1,
    anchored: null,
    findings: [{ kind: "restored", from: 43, to: 54, event: null, says: SAYS }],
    found: 1,
    events: null,
  };

  const { result } = await renderDocument(auditVerify, verdict, {
    format: "table",
    fields: undefined,
    onTerminal: true,
    columns: 80,
    now: 0,
    paint: (text) => text,
  });

  const [, ...lines] = result.trimEnd().split("\n");
  expect(lines.map((line) => line.replace(/^restored/, "").trim()).join(" ")).toBe(SAYS);
  expect(lines.every((line) => line.length <= 80)).toBe(true);
});
