import { formatDuration } from "../../domain/duration.ts";
import type { RunbookCheckDocument } from "../verbs/runbook-check.ts";
import type { View } from "../view.ts";

const DELIVERED = {
  files: "to files",
  command: "to a command",
  staged: "to a command, and wait in a directory until then",
} as const;

/** A runbook, said back. */
export function viewRunbookCheck(runbook: RunbookCheckDocument): View {
  const { name, description, sha256, parameters, grace, compromised, health, waitProof } = runbook;
  return [
    {
      kind: "fields",
      fields: [
        ["runbook", name],
        ["does", description],
        ["sha256", sha256],
        ...parameters.map(
          ({ name: parameter, description: about }) => [`--set ${parameter}=`, about] as [string, string],
        ),
        [
          "old ones",
          compromised ? "end at once" : `end ${formatDuration(grace)} after the first use of the new`,
        ],
        ["secrets go", DELIVERED[runbook.delivery]],
        [
          "batches of",
          `${runbook.batch}${runbook.pause === 0 ? "" : `, ${formatDuration(runbook.pause)} apart`}`,
        ],
        ["health check", health],
        ["stops after", `${runbook.maxFailures + 1} failed`],
        ["waits for first uses", waitProof === null ? "no" : formatDuration(waitProof)],
      ],
    },
  ];
}
