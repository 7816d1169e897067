import { pauseTarget } from "../../operations/pause.ts";
import { controlAll, controlledOutput, glassOptions } from "../controlled-document.ts";
import { gateOptions } from "../gate.ts";
import { defineVerb } from "../verb.ts";
import { viewPause } from "../views/pause.ts";

export const pause = defineVerb({
  path: ["pause"],
  summary: "Pause identities or credentials: refused until resumed",
  description: "Returns when every verifier has let go: no request that starts later is accepted.",
  examples: [
    {
      command: "midctl pause codex-019a6f2e --reason 'odd writes'",
      does: "its credentials and descendants are refused with it",
    },
  ],
  args: [
    {
      name: "ref",
      summary: "a slug, mc_… or at_…; several at once are confirmed",
      variadic: true,
      complete: "identity",
    },
  ],
  options: {
    noWait: {
      summary: "return once it is committed, without waiting until every verifier has let go",
    },
    ...glassOptions,
    ...gateOptions,
  },
  output: controlledOutput,
  list: ["results"],
  changes: true,
  run: ({ ref, noWait, ...gate }, context) =>
    controlAll(ref, context, { name: "pause", confirm: false, noWait: noWait === true, gate }, pauseTarget),
  view: viewPause,
});
