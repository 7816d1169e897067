import type { LogVerdict } from "../verbs/audit-verify.ts";
import type { View } from "../view.ts";

export function viewAuditVerify(document: LogVerdict): View {
  const { ok, size, from, found, findings } = document;
  const count = size - from;
  const read = `${count} ${count === 1 ? "entry" : "entries"}${from === 0 ? "" : ` from ${from} on`}`;
  const more = found - findings.length;
  return [
    ...(ok
      ? [{ kind: "line", words: true, cells: [`${read} read, and nothing wrong.`] } as const]
      : [
          {
            kind: "table",
            columns: [
              { title: "found", fixed: true },
              { title: "what", words: true },
            ],
            rows: findings.map(({ kind, says }) => [{ text: kind, tone: "bad" }, says] as const),
          } as const,
        ]),
    ...(more > 0 ? [{ kind: "notice", text: `And ${more} more.` } as const] : []),
    ...(ok ? [] : [{ kind: "notice", text: `${read} read.` } as const]),
    ...(findings.some(({ kind }) => kind !== "foreign") ? [{ kind: "notice", text: NEXT } as const] : []),
    { kind: "notice", text: sayEvents(document) },
    { kind: "notice", text: sayAgainst(document) },
  ];
}

const NEXT =
  "Copy the database as it is before anything is done about it. An export from before has what each entry said, and `--export FILE` compares with it.";

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
function sayAgainst(document: LogVerdict): string {
  const { against, checkpoints, anchored, from } = document;
  if (against === "itself")
    return "Compared with itself alone: who can rewrite the whole database is not found so. Give --checkpoint with a file that was kept elsewhere.";
  const beside = document.exported === null ? "" : ` ${sayExported(document)}`;
  if (against === "export") {
    return `${beside.trimStart()} That is as good as the file: \`audit verify --proof\` checks it by itself.`;
  }
  const whose =
    against === "signed_checkpoint"
      ? "signed by the key that was given"
      : `whose ${checkpoints === 1 ? "signature was" : "signatures were"} not asked for`;
  const vouched = anchored === null ? "none of which agrees" : `the last that agrees of size ${anchored}`;
  const before = from === 0 ? "" : " What is before it was not read.";
  return `Compared with ${checkpoints} ${checkpoints === 1 ? "checkpoint" : "checkpoints"} ${whose}, ${vouched}.${before}${beside}`;
}

/** Which entries were held against an export, and which were not. */
function sayExported({ size, exported, compared }: LogVerdict): string {
  if (compared === null)
    return "No entry was compared with the export: it holds none of those that this log has.";
  const { from, to } = compared;
  const others = size - (to - from + 1);
  if (others === 0) return `Compared each entry with the export of ${exported}.`;
  const which = from === to ? `entry ${from}` : `entries ${from} to ${to}`;
  return `Compared ${which} with the export of ${exported}, and the other ${others} with the tree alone.`;
}
