import * as z from "zod/mini";
import { findContext, readContextFile, writeContextFile } from "../contexts.ts";
import { defineVerb } from "../verb.ts";

export const contextRemove = defineVerb({
  path: ["context", "remove"],
  summary: "Remove a context; the database that it names is left alone",
  examples: [
    { command: "midctl context remove lab", does: "if it is the current one, no context is current" },
  ],
  args: [{ name: "name", summary: "the context", complete: "context" }],
  output: z.object({ removed: z.string(), current: z.nullable(z.string()) }),
  changes: true,
  async run({ name }, context) {
    const file = readContextFile(context.env);
    findContext(file, name);
    const { [name]: _removed, ...contexts } = file.contexts;
    const current = file.current === name ? null : file.current;
    if (!context.dryRun) writeContextFile(context.env, { current, contexts });
    return { document: { removed: name, current } };
  },
  view: ({ removed }) => [{ kind: "line", cells: [`context ${removed} removed`] }],
});
