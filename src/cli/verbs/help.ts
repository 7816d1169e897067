import * as z from "zod/mini";
import { renderHelp } from "../help.ts";
import { defineVerb } from "../verb.ts";

export const help = defineVerb({
  path: ["help"],
  summary: "Show help on a command or a topic",
  examples: [
    { command: "midctl help credential issue", does: "a command" },
    { command: "midctl help states", does: "a topic" },
  ],
  args: [
    {
      name: "topic",
      summary: "a topic, or the words of a command",
      optional: true,
      variadic: true,
      complete: "topic",
    },
  ],
  output: z.object({ topic: z.nullable(z.string()), text: z.string() }),
  async run({ topic }) {
    const path = topic.join(" ");
    return { document: { topic: path === "" ? null : path, text: await renderHelp(path) } };
  },
  view: ({ text }) => [{ kind: "text", text }],
});
