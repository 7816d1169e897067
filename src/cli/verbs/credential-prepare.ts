import { randomBytes } from "node:crypto";
import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { createToken, formatCommitment } from "../../domain/token.ts";
import { openTokenFile } from "../token-file.ts";
import { defineVerb } from "../verb.ts";
import { viewCredentialPrepare } from "../views/credential-prepare.ts";

export const credentialPrepareOutput = z.object({
  commitment: z.string(),
  tokenFile: z.string(),
  /** False where the file held its token already. */
  created: z.boolean(),
});
export type CredentialPrepareDocument = z.infer<typeof credentialPrepareOutput>;

export const credentialPrepare = defineVerb({
  path: ["credential", "prepare"],
  summary: "Write a token file where it will be used and print its commitment",
  description:
    "Needs no database. The secret never leaves this machine; whoever issues needs only the commitment: midctl credential issue REF --commitment mcc_…",
  examples: [
    {
      command: "midctl credential prepare --environment live --token-file /etc/deploy-bot/token",
      does: "prints one word, mcc_…",
    },
  ],
  options: {
    environment: {
      value: "KIND",
      summary: "live or test, as the database says",
      choices: ["live", "test"],
      required: true,
    },
    tokenFile: { value: "PATH", summary: "the new file (0600); safe to repeat", required: true },
  },
  output: credentialPrepareOutput,
  changes: true,
  async run({ environment, tokenFile }, context) {
    const file = openTokenFile(tokenFile);
    const token = file.existing ?? createToken(environment, randomBytes);
    if (token.environment !== environment) {
      throw new MidctlError(
        "conflict",
        `${tokenFile} holds a ${token.environment} token, not a ${environment} one; nothing was written`,
        {
          hint: "give another --token-file",
        },
      );
    }
    if (file.existing === null && !context.dryRun) file.write(token);
    return { document: { commitment: formatCommitment(token), tokenFile, created: file.existing === null } };
  },
  view: viewCredentialPrepare,
});
