import * as z from "zod/mini";
import { completionScript, type Shell, shells } from "../completion-scripts.ts";
import { defineVerb } from "../verb.ts";

export const completion = defineVerb({
  path: ["completion"],
  summary: "Print the completion script of a shell",
  description:
    "Completes commands, options, their values and the slugs in the database. Nothing is started for it: without a running database there are no slugs.",
  examples: [
    { command: "midctl completion bash > ~/.local/share/bash-completion/completions/midctl", does: "bash" },
    { command: 'midctl completion zsh > "${fpath[1]}/_midctl"', does: "zsh" },
    { command: "midctl completion fish > ~/.config/fish/completions/midctl.fish", does: "fish" },
  ],
  args: [{ name: "shell", summary: "the shell", choices: shells }],
  output: z.object({ shell: z.enum(shells), script: z.string() }),
  async run({ shell }) {
    return { document: { shell: shell as Shell, script: completionScript(shell) } };
  },
  view: ({ script }) => [{ kind: "text", text: script }],
});
