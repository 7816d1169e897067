import type { DbMigrateDocument } from "../verbs/db-migrate.ts";
import type { View } from "../view.ts";

export function viewDbMigrate({ place, applied, current, statements }: DbMigrateDocument): View {
  if (statements.length > 0) return viewPlan(place.location, applied, statements);
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

const MANNERS = {
  together: "in one transaction with its neighbours",
  host: "in a transaction of its own, which waits 50 ms at most for its locks and tries again",
  concurrently: "one statement after the other, outside of any transaction",
} as const;

/** As SQL that can be read, and run by hand where that is the rule of the house. */
function viewPlan(
  location: string,
  applied: readonly string[],
  statements: DbMigrateDocument["statements"],
): View {
  const lines: string[] = [];
  for (const name of applied) {
    const own = statements.filter(({ migration }) => migration === name);
    lines.push(`-- ${name}: ${MANNERS[own[0]?.manner ?? "together"]}`, "");
    for (const { sql, locks } of own) {
      lines.push(...locks.map(({ table, mode }) => `-- locks ${table}: ${mode}`), `${sql};`, "");
    }
  }
  return [
    { kind: "text", text: lines.join("\n").trimEnd() },
    { kind: "notice", text: `Nothing was changed or locked in ${location}.` },
  ];
}
