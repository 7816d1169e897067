import type { DbGrantDocument } from "../verbs/db-grant.ts";
import type { View } from "../view.ts";

export function viewDbGrant({ place, changed, name, roles, statements }: DbGrantDocument): View {
  return [
    {
      kind: "fields",
      fields: [
        ["database role", name],
        ["roles", roles.length === 0 ? "none" : roles.join(", ")],
      ],
    },
    ...statements.map((text) => ({ kind: "line" as const, cells: [`${text};`] })),
    {
      kind: "notice",
      text: changed
        ? `The rights of ${name} in ${place.location}.`
        : `${name} has these already: nothing was changed.`,
    },
  ];
}
