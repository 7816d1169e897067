import { formatDuration } from "../../domain/duration.ts";
import type { AuditReconcileDocument, ReplayedDocument } from "../verbs/audit-reconcile.ts";
import { type Cell, time, type View } from "../view.ts";

export const REVIVED =
  "Tokens that the lost entries revoked or paused are accepted again, unless they are revoked again.";

const GROWTH = {
  goes_on: { text: "goes on from what was seen", tone: "good" },
  shorter: { text: "shorter than it was seen: restored from before, or failed over", tone: "bad" },
  forked: { text: "has other entries than were seen: restored from before, and gone on", tone: "bad" },
} as const;

/** @param warned whether it was said before what comes back to life */
export function viewAuditReconcile(
  { origin, headFile, kept, found, growth, lost, accepted }: AuditReconcileDocument,
  { warned } = { warned: false },
): View {
  return [
    ...(accepted && !warned ? [{ kind: "notice", text: REVIVED } as const] : []),
    {
      kind: "fields",
      fields: [
        ["log", GROWTH[growth]],
        ["origin", origin],
        ["head file", headFile],
        ["seen", `${kept.size} entries`],
        ["found", `${found.size} entries`],
        ...(lost === null ? [] : [["lost", describeLost(lost)] as const]),
        ...(accepted ? [["accepted", "the head found is kept from now on"] as const] : []),
      ],
    },
  ];
}

function describeLost({ from, to }: NonNullable<AuditReconcileDocument["lost"]>): string {
  if (from === null) return `some of the entries up to log_${to}`;
  // A log that was restored and has grown since lost more than it is short of.
  return `${entriesOf({ from, to })} at least; \`--export\` tells since when`;
}

function entriesOf({ from, to }: { readonly from: number; readonly to: number }): string {
  return from === to ? `log_${to}` : `log_${from} to log_${to}`;
}

type Step = ReplayedDocument["steps"][number];

function sayStep({ does, expiresAt, idleTtl }: Step): string {
  if (does === "expire") return `expire at ${expiresAt}`;
  return does === "idle" ? `idle for ${formatDuration(idleTtl ?? 0)}` : does;
}

/** In a table for people, which has relative times. */
function showStep(step: Step): Cell {
  if (step.does !== "expire" || step.expiresAt === null) return sayStep(step);
  return { time: step.expiresAt, before: "expire " };
}

const STATES = {
  needed: { text: "forgotten", tone: "bad" },
  done: { text: "done since", tone: "good" },
  unknown: "not known here",
} as const;

const AGAIN = { text: "done again", tone: "good" } as const;
const REFUSED = { text: "refused", tone: "bad" } as const;

/**
 * What an export knows and the database forgot, and whether it was done again.
 * @param next what is to be done after it; null for nothing
 */
export function viewReplayed(document: ReplayedDocument, next: string | null = null): View {
  const { common, forgotten, steps, limits, notReplayed, unseen, applied } = document;
  const others = Object.entries(notReplayed).map(([action, count]) => `${count} ${action}`);
  const needed = steps.filter(({ state }) => state === "needed").length;
  return [
    {
      kind: "line",
      words: true,
      cells: [
        forgotten === 0
          ? `The database has all ${common} entries of the export.`
          : `The export has ${forgotten} ${forgotten === 1 ? "entry" : "entries"} from log_${common} on that the database lost.`,
      ],
    },
    ...(steps.length === 0
      ? []
      : [
          {
            kind: "table",
            columns: [
              { title: "WHAT", only: "plain" },
              { title: "WHAT", fixed: true, only: "table" },
              { title: "REF", fixed: true },
              { title: "HERE", fixed: true },
              { title: "BY", only: "plain" },
              { title: "BY", fixed: true, only: "table" },
              { title: "WHEN", fixed: true },
              { title: "ACTION", fixed: true, optional: true, only: "table" },
            ],
            rows: steps.map((step) => [
              sayStep(step),
              showStep(step),
              step.ref,
              step.problem !== null
                ? REFUSED
                : applied && step.state === "needed"
                  ? AGAIN
                  : STATES[step.state],
              `log_${step.entry} ${step.action}`,
              `log_${step.entry}`,
              time(step.at),
              step.action,
            ]),
          } as const,
        ]),
    ...steps.flatMap(({ does, ref, problem, hint }) =>
      problem === null
        ? []
        : [
            { kind: "line", words: true, cells: [`Not done again: ${does} ${ref}. ${problem}`] } as const,
            ...(hint === null ? [] : [{ kind: "line", words: true, cells: [`  ${hint}`] } as const]),
          ],
    ),
    ...limits.flatMap(({ entry, action, says, mend, state }) =>
      state === "done"
        ? []
        : [
            { kind: "line", words: true, cells: [`Open: ${says} (log_${entry} ${action}).`] } as const,
            ...(mend === null ? [] : [{ kind: "line", words: true, cells: [`  ${mend}`] } as const]),
          ],
    ),
    ...(unseen === null
      ? []
      : [
          {
            kind: "line",
            words: true,
            cells: [
              `Open: verifiers saw ${entriesOf(unseen)} too, which neither the export nor the database has. What was revoked or paused there may work again.`,
            ],
          } as const,
          {
            kind: "line",
            words: true,
            cells: ["  Give a later export, or find out otherwise what was done then."],
          } as const,
        ]),
    ...(others.length === 0
      ? []
      : [{ kind: "line", words: true, cells: [`Not brought back: ${others.join(", ")}.`] } as const]),
    ...(applied || needed === 0
      ? []
      : [{ kind: "notice", text: `${needed} to be done again; nothing was changed yet.` } as const]),
    ...(next === null ? [] : [{ kind: "notice", text: next } as const]),
  ];
}
