import { expect, test } from "vitest";
import { type Rendering, renderView } from "../../src/cli/output.ts";
import type { ReplayedDocument } from "../../src/cli/verbs/audit-reconcile.ts";
import { viewReplayed } from "../../src/cli/views/audit-reconcile.ts";
import { displayWidth } from "../../src/cli/wrap.ts";
import { piped } from "../support/rendering.ts";

const onTerminal: Rendering = { ...piped, format: "table", onTerminal: true };

const step: ReplayedDocument["steps"][number] = {
  ref: "mc_4fK2mQ9sT1xZ",
  does: "revoke",
  expiresAt: null,
  idleTtl: null,
  entry: 42_530,
  action: "credential.supersede",
  at: "2026-03-01T09:00:00.000Z",
  state: "needed",
  problem: null,
  hint: null,
};
const document: ReplayedDocument = {
  origin: "midctl/1",
  export: "log.jsonl",
  common: 42_529,
  forgotten: 3,
  steps: [
    step,
    { ...step, ref: "deploy-bot", does: "expire", expiresAt: "2026-03-04T12:00:00.000Z" },
    { ...step, ref: null, does: "pause", state: "unknown" },
  ],
  limits: [
    {
      entry: 42_531,
      action: "environment.protect",
      at: "2026-03-01T09:00:00.000Z",
      says: "the environment was protected, and is not protected here, so that nothing needs an approval",
      mend: "midctl db protect",
      state: "open",
    },
  ],
  notReplayed: {},
  unseen: null,
  applied: false,
};

test("the plan fits 80 columns, with whole ids and words, and relative times", async () => {
  const { result } = await renderView(viewReplayed(document), onTerminal);

  for (const line of result.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(80);
  expect(result).toMatch(/revoke +mc_4fK2mQ9sT1xZ +forgotten +log_42530 +3h ago/);
  expect(result).toContain("expire in 3d");
  expect(result.replace(/\n/g, " ")).toContain(document.limits[0]?.says);
});

test("where there is room it shows what each entry did", async () => {
  const { result } = await renderView(viewReplayed(document), { ...onTerminal, columns: 120 });

  expect(result).toMatch(/log_42530 +3h ago +credential\.supersede/);
});

test("in a pipe it has the columns that it had", async () => {
  const { result } = await renderView(viewReplayed(document), piped);

  expect(result.split("\n").slice(1, 3)).toEqual([
    "revoke\tmc_4fK2mQ9sT1xZ\tforgotten\tlog_42530 credential.supersede\t2026-03-01T09:00:00.000Z",
    "expire at 2026-03-04T12:00:00.000Z\tdeploy-bot\tforgotten\tlog_42530 credential.supersede\t2026-03-01T09:00:00.000Z",
  ]);
});
