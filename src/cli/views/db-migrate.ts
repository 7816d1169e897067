import { frameOf } from "../../db/frame.ts";
import type { DbMigrateDocument } from "../verbs/db-migrate.ts";
import type { View } from "../view.ts";

export function viewDbMigrate({ place, applied, current, byHand, statements }: DbMigrateDocument): View {
  if (statements.length > 0) return viewPlan(place.location, byHand, statements);
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

type Planned = DbMigrateDocument["statements"][number];

const MANNERS = {
  session: "for all that follows, on one connection",
  together: "in one transaction",
  host: "in a transaction of its own, which waits 50 ms at most for its locks: try again, or print the rest anew",
  concurrently: "one statement after the other, outside of any transaction",
} as const;

const READ_ONLY = [
  "-- To be read, not to be run: midctl db migrate judges the rows of the application's own tables again, once they are locked.",
  "",
];

/** As SQL that can be read, and run by psql where that is the rule of the house. */
function viewPlan(location: string, byHand: boolean, statements: readonly Planned[]): View {
  const lines: string[] = byHand ? [] : [...READ_ONLY];
  for (const unit of unite(statements, byHand)) {
    const [{ manner }] = unit;
    const frame = byHand && (manner === "together" || manner === "host") ? frameOf(manner) : null;
    lines.push(`-- ${MANNERS[manner]}`, "");
    if (frame !== null) lines.push(...frame.open, "");
    let file = "";
    for (const { migration, sql, locks } of unit) {
      if (migration !== file) lines.push(`-- ${migration}`, "");
      file = migration;
      lines.push(...locks.map(({ table, mode }) => `-- locks ${table}: ${mode}`), `${sql};`, "");
    }
    if (frame !== null) lines.push(frame.close, "");
  }
  return [
    { kind: "text", text: lines.join("\n").trimEnd() },
    { kind: "notice", text: `Nothing was changed or locked in ${location}.` },
  ];
}

/** What goes together: neighbours of one manner, but a transaction for each file of a host's tables. */
function unite(statements: readonly Planned[], byHand: boolean): [Planned, ...Planned[]][] {
  const units: [Planned, ...Planned[]][] = [];
  for (const statement of statements) {
    const unit = units.at(-1);
    const same =
      unit?.[0].manner === statement.manner &&
      (!byHand || statement.manner !== "host" || unit[0].migration === statement.migration);
    if (unit !== undefined && same) unit.push(statement);
    else units.push([statement]);
  }
  return units;
}
