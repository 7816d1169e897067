import * as z from "zod/mini";
import { showCredential } from "../../operations/credential-show.ts";
import { credentialSchema, eventSchema, identitySchema } from "../documents.ts";
import { defineVerb } from "../verb.ts";
import { viewCredentialShow } from "../views/credential-show.ts";

export const credentialShowOutput = z.object({
  credential: credentialSchema,
  identity: identitySchema,
  events: z.readonly(z.array(eventSchema)),
});
export type CredentialShowDocument = z.infer<typeof credentialShowOutput>;

export const credentialShow = defineVerb({
  path: ["credential", "show"],
  summary: "Show one credential and its life so far",
  examples: [
    { command: "midctl credential show mc_4fK2mQ9sT1xZ", does: "never its secret, which is kept nowhere" },
  ],
  args: [{ name: "ref", summary: "mc_… or at_…", complete: "credential" }],
  output: credentialShowOutput,
  async run({ ref }, context) {
    return { document: await showCredential(await context.database(), ref) };
  },
  view: viewCredentialShow,
});
