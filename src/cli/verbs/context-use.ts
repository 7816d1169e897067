import * as z from "zod/mini";
import { findContext, readContextFile, writeContextFile } from "../contexts.ts";
import { defineVerb } from "../verb.ts";

export const contextUse = defineVerb({
  path: ["context", "use"],
  summary: "Make a context the current one",
  examples: [
    { command: "midctl context use prod", does: "from now on" },
    { command: "midctl context use --none", does: "back to the defaults" },
  ],
  args: [{ name: "name", summary: "the context", optional: true, complete: "context" }],
  options: { none: { summary: "no context: the embedded PostgreSQL unless the environment says otherwise" } },
  output: z.object({ changed: z.boolean(), current: z.nullable(z.string()) }),
  changes: true,
  async run({ name, none }, context) {
    const file = readContextFile(context.env);
    const wanted = none ? null : (name ?? (await context.ask(whichContext(Object.keys(file.contexts)))));
    if (wanted !== null) findContext(file, wanted);
    const changed = file.current !== wanted;
    if (changed && !context.dryRun) writeContextFile(context.env, { ...file, current: wanted });
    return { document: { changed, current: wanted } };
  },
  view: ({ current }) => [{ kind: "line", cells: [current === null ? "no context" : `context ${current}`] }],
});

function whichContext(names: readonly string[]) {
  const missing = { name: "NAME", summary: "the context to use" };
  return names.length === 0 ? missing : { ...missing, choices: names };
}
