import type { DbRollbackDocument } from "../verbs/db-rollback.ts";
import type { View } from "../view.ts";

export function viewDbRollback({ place, changed, entries, exported }: DbRollbackDocument): View {
  if (!changed)
    return [{ kind: "notice", text: `${place.location} has no midctl schema: nothing was removed.` }];
  return [
    {
      kind: "fields",
      fields: [
        ["schema", "removed"],
        ["log entries", entries],
        ...(exported === null ? [] : [["exported", exported] as const]),
      ],
    },
    { kind: "notice", text: "The application's tables and rows are as they were before midctl db migrate." },
  ];
}
