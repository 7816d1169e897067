import type { Environment } from "../../repository/environment.ts";
import type { Cell } from "../view.ts";

/** Where the database has moved, if it has: one field more. */
export function movedField(environment: Pick<Environment, "movedTo"> | null): [string, Cell][] {
  return environment?.movedTo == null
    ? []
    : [["moved to", `${environment.movedTo}; here nothing can be changed any more`]];
}
