import type { ContextShowDocument } from "../verbs/context-show.ts";
import type { View } from "../view.ts";

export function viewContextShow({ file, context, settings }: ContextShowDocument): View {
  if (context !== null) {
    return [
      {
        kind: "fields",
        fields: [
          ["name", context.name],
          ["current", context.current],
          ["database", context.databaseUrl ?? "embedded"],
          ["password command", context.passwordCommand],
          ["store", context.dataDir],
          ["trust root", context.trustDir],
          ["head file", context.headFile],
          ["actor", context.actor],
        ],
      },
    ];
  }
  const rows = Object.entries(settings ?? {}).map(([name, { value, source }]) => [
    name,
    value ?? (name === "databaseUrl" ? "embedded" : null),
    source,
  ]);
  return [
    {
      kind: "table",
      columns: [{ title: "SETTING", fixed: true }, { title: "VALUE" }, { title: "FROM" }],
      rows,
    },
    { kind: "notice", text: `context file: ${file ?? "none, there is no home directory"}` },
  ];
}
