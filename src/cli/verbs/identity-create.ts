import * as z from "zod/mini";
import { parseSlug } from "../../domain/slug.ts";
import { createIdentity } from "../../operations/identity-create.ts";
import { identitySchema } from "../documents.ts";
import { gated, gateOptions } from "../gate.ts";
import { duration, identityOptions, identitySpecOf, ownerOption } from "../options.ts";
import { nameIdentity } from "../thread-claim.ts";
import { defineVerb } from "../verb.ts";
import { viewIdentityCreate } from "../views/identity-create.ts";

export const identityCreateOutput = z.object({ created: z.boolean(), identity: identitySchema });
export type IdentityCreateDocument = z.infer<typeof identityCreateOutput>;

export const identityCreate = defineVerb({
  path: ["identity", "create"],
  summary: "Create a machine identity",
  description:
    "A machine identity is the stable actor: it outlives its credentials, and the audit names it. Slug, kind, thread and parent never change. On a terminal the thread of CODEX_THREAD_ID is offered where none was named.",
  examples: [
    { command: "midctl identity create deploy-bot --owner platform", does: "a service" },
    {
      command: "midctl identity create --thread 019a6f2e --provider codex --owner you",
      does: "an agent's thread: codex-019a6f2e",
    },
  ],
  args: [
    {
      name: "slug",
      summary: "its name for good: a-z, 0-9 and inner hyphens; for a thread: <provider>-<thread>",
      optional: true,
    },
  ],
  options: {
    owner: { ...ownerOption, required: true },
    ...identityOptions,
    expires: { value: "30d", summary: "its life; default: without end", schema: duration },
    ifNotExists: { summary: "succeed where it exists with the same attributes" },
    ...gateOptions,
  },
  output: identityCreateOutput,
  changes: true,
  async run(input, context) {
    const words = await nameIdentity(context, input, {
      name: "SLUG",
      summary: "the identity's slug",
      parse: parseSlug,
    });
    const spec = identitySpecOf(words.slug, words);
    const db = await context.database();
    const { created, identity } = await gated(context, db, input, {
      action: "identity.create",
      draft: async (tx) => [
        await (await import("../../operations/approval/draft.ts")).draftCreation(tx, spec),
      ],
      run: (request) => createIdentity(db, request, spec, { ifNotExists: input.ifNotExists }),
    });
    return { document: { created, identity } };
  },
  view: viewIdentityCreate,
});
