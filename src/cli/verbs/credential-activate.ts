import * as z from "zod/mini";
import { activateCredential } from "../../operations/credential-activate.ts";
import { credentialSchema } from "../documents.ts";
import { readToken } from "../token-input.ts";
import { defineVerb } from "../verb.ts";
import { viewCredentialActivate } from "../views/credential-activate.ts";

export const credentialActivateOutput = z.object({ changed: z.boolean(), credential: credentialSchema });
export type CredentialActivateDocument = z.infer<typeof credentialActivateOutput>;

export const credentialActivate = defineVerb({
  path: ["credential", "activate"],
  summary: "Use a token once, on purpose: proves that its secret arrived",
  description: "The token is read from standard input or from --token-file, never from the command line.",
  examples: [
    {
      command: "midctl credential activate < ./token",
      does: "pending becomes active; its predecessor ends after its grace",
    },
  ],
  options: { tokenFile: { value: "PATH", summary: "read the token from its file" } },
  output: credentialActivateOutput,
  changes: true,
  async run({ tokenFile }, context) {
    const token = await readToken(context, tokenFile);
    const { changed, credential } = await activateCredential(await context.database(), token, {
      dryRun: context.dryRun,
    });
    return { document: { changed, credential } };
  },
  view: viewCredentialActivate,
});
