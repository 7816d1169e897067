import * as z from "zod/mini";
import { showIdentity } from "../../operations/identity-show.ts";
import { credentialSchema, effectiveStatusSchema, eventSchema, identitySchema } from "../documents.ts";
import { parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewIdentityShow } from "../views/identity-show.ts";

export const identityShowOutput = z.object({
  identity: identitySchema,
  credentials: z.readonly(z.array(credentialSchema)),
  ancestors: z.readonly(z.array(z.string())),
  children: z.readonly(z.array(z.object({ slug: z.string(), effectiveStatus: effectiveStatusSchema }))),
  events: z.readonly(z.array(eventSchema)),
});
export type IdentityShowDocument = z.infer<typeof identityShowOutput>;

export const identityShow = defineVerb({
  path: ["identity", "show"],
  summary: "Show one identity with its credentials, lineage and latest events",
  examples: [{ command: "midctl identity show codex-019a6f2e", does: "all of it" }],
  args: [
    {
      name: "ref",
      summary: "the identity's slug",
      schema: readWith(parseIdentityReference),
      complete: "identity",
    },
  ],
  output: identityShowOutput,
  async run({ ref }, context) {
    const whole = await showIdentity(await context.database(), ref);
    return { document: { ...whole, children: [...whole.children] as IdentityShowDocument["children"] } };
  },
  view: viewIdentityShow,
});
