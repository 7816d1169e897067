import type { DbInitDocument } from "../verbs/db-init.ts";
import type { View } from "../view.ts";

export function viewDbInit({ place, changed, environment }: DbInitDocument): View {
  return [
    {
      kind: "fields",
      fields: [
        ["environment", environment.name],
        ["kind", environment.kind],
        ["protected", environment.protected],
        ["database", environment.databaseId],
      ],
    },
    {
      kind: "notice",
      text: changed
        ? `${place.location} is the environment ${environment.name} now.`
        : `It was ${environment.name} already.`,
    },
  ];
}
