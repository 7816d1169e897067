import type { LogVerdict } from "../verbs/audit-verify.ts";
import type { View } from "../view.ts";

export function viewAuditVerify(document: LogVerdict): View {
  const { ok, size, from, found, findings } = document;
  const count = size - from;
  const read = `${count} ${count === 1 ? "entry" : "entries"}${from === 0 ? "" : ` from ${from} on`}`;
  const more = found - findings.length;
  return [
    ...(ok
      ? [{ kind: "line", cells: [`${read} read, and nothing wrong.`] } as const]
      : [
          {
            kind: "table",
            columns: [{ title: "found", fixed: true }, { title: "what" }],
            rows: findings.map(({ kind, says }) => [{ text: kind, tone: "bad" }, says] as const),
          } as const,
        ]),
    ...(more > 0 ? [{ kind: "notice", text: `And ${more} more.` } as const] : []),
    ...(ok ? [] : [{ kind: "notice", text: `${read} read.` } as const]),
    { kind: "notice", text: sayEvents(document) },
    { kind: "notice", text: sayAgainst(document) },
  ];
}

function sayEvents({ events }: LogVerdict): string {
  if (events === null)
    return "What agents did was not read: row-level security hides some of it from this role. The owner of the schema sees it.";
  const { sealed, pruned, unsealed } = events;
  const parts = [
    `${sealed} sealed agent ${sealed === 1 ? "event" : "events"} read`,
    ...(pruned > 0
      ? [`${pruned} of them gone with ${pruned === 1 ? "its workspace" : "their workspaces"}`]
      : []),
    ...(unsealed > 0 ? [`${unsealed} more ${unsealed === 1 ? "waits" : "wait"} to be sealed`] : []),
  ];
  return `${parts.join(", ")}.`;
}

/** Which kind of check this was. */
function sayAgainst({ against, checkpoints, anchored, from, exported }: LogVerdict): string {
  if (against === "itself")
    return "Compared with itself alone: who can rewrite the whole database is not found so. Give --checkpoint with a file that was kept elsewhere.";
  const beside = exported === null ? "" : `each entry with the export of ${exported}`;
  if (against === "export") {
    return `Compared ${beside}. That is as good as the file: \`audit verify --proof\` checks it by itself.`;
  }
  const whose =
    against === "signed_checkpoint"
      ? "signed by the key that was given"
      : "whose signatures were not asked for";
  const vouched = anchored === null ? "none of which agrees" : `the last that agrees of size ${anchored}`;
  const before = from === 0 ? "" : " What is before it was not read.";
  const also = beside === "" ? "" : ` And ${beside}.`;
  return `Compared with ${checkpoints} ${checkpoints === 1 ? "checkpoint" : "checkpoints"} ${whose}, ${vouched}.${before}${also}`;
}
