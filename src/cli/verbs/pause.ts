import { pauseTarget } from "../../operations/pause.ts";
import { controlledOutput, controlSelection, glassOptions, targetArgument } from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { selectionOptions } from "../selection.ts";
import { defineVerb } from "../verb.ts";
import { viewPause } from "../views/pause.ts";

export const pause = defineVerb({
  path: ["pause"],
  summary: "Pause identities or credentials: refused until resumed",
  description:
    "By name, by standard input, or by flags: then all identities that fit and are not paused on their own. Many are one transaction each, and are confirmed by typing `pause N`, or by --yes off a terminal. Returns when every verifier has let go: no request that starts later is accepted.",
  examples: [
    {
      command: "midctl pause codex-019a6f2e --reason 'odd writes'",
      does: "its credentials and descendants are refused with it",
    },
    { command: "midctl pause --label team=infra --dry-run", does: "who of a team would be paused" },
  ],
  args: [targetArgument],
  options: {
    ...selectionOptions,
    noWait: {
      summary: "return once it is committed, without waiting until every verifier has let go",
    },
    ...glassOptions,
    ...gateOptions,
  },
  output: controlledOutput,
  list: ["results"],
  changes: true,
  run: ({ ref, noWait, ...words }, context) =>
    controlSelection(
      ref,
      words,
      context,
      { name: "pause", confirm: false, noWait, gate: words },
      pauseTarget,
    ),
  view: viewPause,
});
