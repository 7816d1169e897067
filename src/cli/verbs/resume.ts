import { resumeTarget } from "../../operations/resume.ts";
import { controlledOutput, controlSelection, targetArgument } from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { selectionOptions } from "../selection.ts";
import { defineVerb } from "../verb.ts";
import { viewResume } from "../views/resume.ts";

export const resume = defineVerb({
  path: ["resume"],
  summary: "Resume what was paused on its own",
  description:
    "By name, by standard input, or by flags: then all identities that fit and are paused on their own. Many are one transaction each, and are confirmed by typing `resume N`, or by --yes off a terminal.",
  examples: [
    { command: "midctl resume codex-019a6f2e", does: "gives back what the pause took" },
    { command: "midctl resume --label team=infra", does: "whoever of a team is paused" },
  ],
  args: [targetArgument],
  options: { ...selectionOptions, ...gateOptions },
  output: controlledOutput,
  list: ["results"],
  changes: true,
  run: ({ ref, ...words }, context) =>
    controlSelection(ref, words, context, { name: "resume", confirm: false, gate: words }, resumeTarget),
  view: viewResume,
});
