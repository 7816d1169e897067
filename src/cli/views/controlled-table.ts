import type { ControlledDocument } from "../controlled-document.ts";
import { type Block, status, type View } from "../view.ts";
import { describeLetGo } from "./let-go.ts";

/** The targets of a control action, a row each, and below it what a reader must not miss. */
export function controlledTable({ results }: ControlledDocument, done: string, wanted: string): View {
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [
        { title: "REF", fixed: true },
        { title: "KIND" },
        { title: "STATUS", fixed: true },
        { title: "OUTCOME" },
      ],
      rows: results.map((result) => [
        result.ref,
        result.kind,
        result.effectiveStatus === null ? null : status(result.effectiveStatus),
        result.error === null ? (result.changed ? done.toLowerCase() : "unchanged") : result.error.message,
      ]),
    },
  ];
  // Of many the verifiers were waited for once: each result says the same.
  blocks.push(...describeLetGo(results.find(({ letGo }) => letGo !== null)?.letGo ?? null));
  for (const result of results) {
    if (wanted !== "active" || result.error !== null || result.effectiveStatus === "active") continue;
    blocks.push({
      kind: "notice",
      text: `${result.ref} is no longer paused on its own and is still refused: it is ${result.effectiveStatus}.`,
    });
  }
  return blocks;
}
