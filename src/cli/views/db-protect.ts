import type { DbProtectDocument } from "../verbs/db-protect.ts";
import type { View } from "../view.ts";

export function viewDbProtect({ changed, environment }: DbProtectDocument): View {
  return [
    {
      kind: "line",
      words: true,
      cells: [
        `${environment.name} is protected${changed ? "" : " already"}: nothing changes in it without an approval.`,
      ],
    },
  ];
}
