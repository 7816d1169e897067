import * as z from "zod/mini";
import { defineVerb } from "../verb.ts";
import { midctlVersion } from "../version.ts";

export const version = defineVerb({
  path: ["version"],
  summary: "Show the versions of midctl and what runs it",
  examples: [{ command: "midctl --version", does: "the same" }],
  output: z.object({ midctl: z.string(), node: z.string(), platform: z.string() }),
  async run() {
    return {
      document: {
        midctl: midctlVersion,
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
      },
    };
  },
  view: ({ midctl, node, platform }) => [
    { kind: "line", cells: [`midctl ${midctl} (node ${node}, ${platform})`] },
  ],
});
