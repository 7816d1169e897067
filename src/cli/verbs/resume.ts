import { resumeTarget } from "../../operations/resume.ts";
import { controlAll, controlledOutput } from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { defineVerb } from "../verb.ts";
import { viewResume } from "../views/resume.ts";

export const resume = defineVerb({
  path: ["resume"],
  summary: "Resume what was paused on its own",
  examples: [{ command: "midctl resume codex-019a6f2e", does: "gives back what the pause took" }],
  args: [
    {
      name: "ref",
      summary: "a slug, mc_… or at_…; several at once are confirmed",
      variadic: true,
      complete: "identity",
    },
  ],
  options: { ...gateOptions },
  output: controlledOutput,
  list: ["results"],
  changes: true,
  run: ({ ref, ...gate }, context) =>
    controlAll(ref, context, { name: "resume", confirm: false, gate }, resumeTarget),
  view: viewResume,
});
