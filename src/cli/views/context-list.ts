import type { ContextDocument } from "../context-document.ts";
import type { View } from "../view.ts";

export function viewContextList(document: { readonly contexts: readonly ContextDocument[] }): View {
  return [
    {
      kind: "table",
      columns: [
        { title: "" },
        { title: "NAME", fixed: true },
        { title: "DATABASE" },
        { title: "ACTOR", optional: true },
      ],
      rows: document.contexts.map(({ name, current, databaseUrl, dataDir, actor }) => [
        current ? "*" : "",
        name,
        databaseUrl ?? `embedded${dataDir === null ? "" : ` in ${dataDir}`}`,
        actor,
      ]),
      empty: "no contexts; make one: midctl context set NAME --database-url URL",
    },
  ];
}
