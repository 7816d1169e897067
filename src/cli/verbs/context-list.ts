import * as z from "zod/mini";
import { contextSchema, summarizeContext } from "../context-document.ts";
import { readContextFile } from "../contexts.ts";
import { defineVerb } from "../verb.ts";
import { viewContextList } from "../views/context-list.ts";

export const contextListOutput = z.object({ contexts: z.array(contextSchema), nextCursor: z.null() });

export const contextList = defineVerb({
  path: ["context", "list"],
  summary: "List the contexts",
  examples: [{ command: "midctl context list", does: "the current one is marked" }],
  output: contextListOutput,
  list: ["contexts"],
  async run(_input, context) {
    const file = readContextFile(context.env);
    const contexts = Object.entries(file.contexts).map(([name, settings]) =>
      summarizeContext(name, settings, name === file.current),
    );
    return { document: { contexts, nextCursor: null } };
  },
  view: viewContextList,
});
