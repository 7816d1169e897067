import type { DbMigrateDocument } from "../verbs/db-migrate.ts";
import type { View } from "../view.ts";

export function viewDbMigrate({ place, applied, current }: DbMigrateDocument): View {
  return [
    { kind: "table", columns: [{ title: "APPLIED", fixed: true }], rows: applied.map((name) => [name]) },
    {
      kind: "notice",
      text:
        applied.length === 0
          ? `${place.location} is up to date (${current ?? "empty"}).`
          : `${place.location} is at ${current ?? "nothing"} now.`,
    },
  ];
}
