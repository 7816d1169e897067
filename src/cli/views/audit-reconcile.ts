import type { AuditReconcileDocument } from "../verbs/audit-reconcile.ts";
import type { View } from "../view.ts";

export const REVIVED =
  "Tokens that the lost entries revoked or paused are accepted again, unless they are revoked again.";

const GROWTH = {
  goes_on: { text: "goes on from what was seen", tone: "good" },
  shorter: { text: "shorter than it was seen: restored from before, or failed over", tone: "bad" },
  forked: { text: "has other entries than were seen: restored from before, and gone on", tone: "bad" },
} as const;

export function viewAuditReconcile({
  origin,
  headFile,
  kept,
  found,
  growth,
  lost,
  accepted,
}: AuditReconcileDocument): View {
  return [
    ...(accepted ? [{ kind: "notice", text: REVIVED } as const] : []),
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
  return from === to ? `log_${to}` : `log_${from} to log_${to}`;
}
