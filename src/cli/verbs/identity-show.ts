import * as z from "zod/mini";
import { showIdentity } from "../../operations/identity-show.ts";
import { credentialSchema, effectiveStatusSchema, eventSchema, identitySchema } from "../documents.ts";
import { parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewIdentityShow } from "../views/identity-show.ts";

const relative = z.object({ slug: z.string(), effectiveStatus: effectiveStatusSchema });

export const identityShowOutput = z.object({
  identity: identitySchema,
  credentials: z.readonly(z.array(credentialSchema)),
  ancestors: z.readonly(z.array(relative)),
  children: z.readonly(z.array(relative)),
  descendants: z.readonly(z.array(z.extend(relative, { parent: z.string(), depth: z.number() }))),
  counts: z.object({ ancestors: z.number(), children: z.number(), descendants: z.number() }),
  events: z.readonly(z.array(eventSchema)),
});
export type IdentityShowDocument = z.infer<typeof identityShowOutput>;

export const identityShow = defineVerb({
  path: ["identity", "show"],
  summary: "Show one identity with its credentials, lineage and latest events",
  description:
    "Ancestors stand above it and descendants below, 50 of each at most, with what each amounts to now. They are counted up to 10,000: then there are so many, or more.",
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
    return { document: await showIdentity(await context.database(), ref) };
  },
  view: viewIdentityShow,
});
