import * as z from "zod/mini";
import { defineVerb } from "../verb.ts";
import { viewRunbookCheck } from "../views/runbook-check.ts";

export const runbookCheckOutput = z.object({
  name: z.string(),
  description: z.nullable(z.string()),
  /** Hex SHA-256 of the file, as campaigns and receipts name it. */
  sha256: z.string(),
  parameters: z.array(z.object({ name: z.string(), description: z.string() })),
  /** Seconds. */
  grace: z.number(),
  compromised: z.boolean(),
  delivery: z.enum(["files", "command", "staged"]),
  batch: z.number(),
  /** Seconds. */
  pause: z.number(),
  health: z.nullable(z.string()),
  maxFailures: z.number(),
  /** Seconds. */
  waitProof: z.nullable(z.number()),
});
export type RunbookCheckDocument = z.infer<typeof runbookCheckOutput>;

export const runbookCheck = defineVerb({
  path: ["runbook", "check"],
  summary: "Look at a runbook's file, and name every line that is wrong",
  description:
    "Reads the file alone, and no database. Aliases, anchors, tags and duplicate keys are refused, since two readers could take such a file for two things. docs/runbooks/schema.json says what one may say; editors check by it.",
  examples: [
    { command: "midctl runbook check quarterly-rotation.yaml", does: "exit 0, or every line that is wrong" },
  ],
  args: [{ name: "file", summary: "the runbook, YAML" }],
  output: runbookCheckOutput,
  async run({ file }) {
    const [{ readRunbookFile }, { readRunbook }] = await Promise.all([
      import("../runbook-file.ts"),
      import("../runbook.ts"),
    ]);
    const found = readRunbookFile(file);
    const { terms, words, waitProof } = readRunbook(found, null, null);
    const { name, description = null, parameters = {} } = found.runbook;
    return {
      document: {
        name,
        description,
        sha256: found.sha256,
        parameters: Object.entries(parameters).map(([key, about]) => ({ name: key, description: about })),
        ...{ grace: terms.grace, compromised: terms.compromised, delivery: terms.delivery },
        ...{ batch: terms.batch, pause: terms.pause, maxFailures: terms.maxFailures },
        health: words.health ?? null,
        waitProof: waitProof ?? null,
      },
    };
  },
  view: viewRunbookCheck,
});
