import type { ServeDocument } from "../verbs/serve.ts";
import type { View } from "../view.ts";

export function viewServe({ listening, paths }: ServeDocument): View {
  return [
    {
      kind: "fields",
      fields: [
        ["listening", listening],
        ["paths", paths.join(" ")],
      ],
    },
  ];
}
