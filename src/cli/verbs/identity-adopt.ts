import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { parseCredentialName, parseDisplayName, parseOwner } from "../../domain/names.ts";
import { formatToken, parseReference } from "../../domain/reference.ts";
import { parseSlug } from "../../domain/slug.ts";
import { applyAdoption } from "../../operations/adoption-apply.ts";
import { proposeAdoption } from "../../operations/adoption-propose.ts";
import { adoptToken, previewAdoption } from "../../operations/identity-adopt.ts";
import type { IdentitySpec } from "../../operations/identity-create.ts";
import type { TokenToAdopt } from "../../repository/token.ts";
import { proposalSchema, readPlan, writePlan } from "../adoption-plan.ts";
import type { VerbContext } from "../context.ts";
import { credentialSchema, identitySchema } from "../documents.ts";
import { type GateWords, gated, gateOptions } from "../gate.ts";
import {
  duration,
  identityOptions,
  identitySpecOf,
  ownerOption,
  parseIdentityReference,
  slugOf,
} from "../options.ts";
import { readWith } from "../parse.ts";
import { defineVerb, type Outcome } from "../verb.ts";
import { viewIdentityAdopt } from "../views/identity-adopt.ts";

export const identityAdoptOutput = z.union([
  z.object({
    changed: z.boolean(),
    created: z.boolean(),
    token: z.string(),
    identity: identitySchema,
    credential: credentialSchema,
  }),
  z.object({
    plan: z.nullable(z.string()),
    proposals: z.readonly(z.array(proposalSchema)),
    withoutOwner: z.number(),
    skipped: z.readonly(z.array(z.object({ token: z.string(), reason: z.string() }))),
  }),
  z.object({
    adopted: z.number(),
    unchanged: z.number(),
    created: z.number(),
    results: z.readonly(
      z.array(
        z.object({
          line: z.number(),
          token: z.string(),
          identity: z.string(),
          credential: z.string(),
          changed: z.boolean(),
        }),
      ),
    ),
  }),
]);
export type IdentityAdoptDocument = z.infer<typeof identityAdoptOutput>;

export const identityAdopt = defineVerb({
  path: ["identity", "adopt"],
  summary: "Give legacy tokens identities, without changing their secrets",
  description:
    "A legacy token is one that an application made before it had machine identities. Adopted, it is an active credential of its identity: it goes on working as it is, can be paused and rotated, and what it did before is attributed too. Repeating a command changes nothing. --all --plan proposes an identity for every token in force, one line of JSON each, for you to edit; --apply carries the file out, all of it or nothing.",
  examples: [
    {
      command: "midctl identity adopt at_4fK2mQ9sT1xZ --slug laptop-bot --owner you",
      does: "a new identity",
    },
    {
      command: "midctl identity adopt at_4fK2mQ9sT1xZ --identity deploy-bot --name legacy",
      does: "a further credential of one that exists",
    },
    { command: "midctl identity adopt --all --plan adoption.ndjson", does: "propose, and change nothing" },
    { command: "midctl identity adopt --apply adoption.ndjson --yes", does: "carry the edited plan out" },
  ],
  args: [
    {
      name: "ref",
      summary: "the token, at_…",
      schema: readWith(parseTokenReference),
      optional: true,
      complete: "token",
    },
  ],
  options: {
    slug: { value: "SLUG", summary: "of the identity to create", schema: readWith(parseSlug) },
    identity: {
      value: "REF",
      summary: "adopt into this identity, which exists",
      schema: readWith(parseIdentityReference),
      complete: "identity",
    },
    name: {
      value: "NAME",
      summary: "which credential of the identity it becomes; default: default",
      schema: readWith(parseCredentialName),
    },
    owner: ownerOption,
    ...identityOptions,
    displayName: { ...identityOptions.displayName, summary: "how people see it; default: the token's name" },
    workspace: {
      value: "SLUG",
      summary: "with --all: tokens of this workspace; else what the token's own must be",
    },
    expires: { value: "30d", summary: "the identity's life; default: without end", schema: duration },
    all: { summary: "propose an identity for every token in force that was not adopted; goes with --plan" },
    plan: { value: "FILE", summary: "with --all: the new file to write the proposals into" },
    apply: { value: "FILE", summary: "adopt what this file says, in one transaction" },
    key: gateOptions.key,
    approveWithin: gateOptions.approveWithin,
    executeWithin: gateOptions.executeWithin,
  },
  output: identityAdoptOutput,
  list: ["proposals", "results"],
  changes: true,
  async run(input, context): Promise<Outcome<IdentityAdoptDocument>> {
    const { ref, all, plan, apply } = input;
    const { key, approveWithin, executeWithin, ...words } = input;
    if (all || plan !== undefined) {
      if (!all || plan === undefined)
        throw together(all ? "--all goes with --plan FILE" : "--plan goes with --all");
      refuseBeside("--all", {
        ...words,
        all: false,
        plan: undefined,
        owner: undefined,
        workspace: undefined,
      });
      return propose(context, plan, input.owner ?? null, input.workspace ?? null);
    }
    if (apply !== undefined) {
      refuseBeside("--apply", { ...words, apply: undefined, owner: undefined });
      return applyPlan(context, apply, input.owner ?? null, {
        key,
        approveWithin,
        executeWithin,
        plan: undefined,
      });
    }
    const token = ref ?? parseTokenReference(await context.ask({ name: "REF", summary: "the token, at_…" }));
    if (input.identity !== undefined) {
      refuseBeside("--identity", { ...words, ref: undefined, identity: undefined, name: undefined });
    }
    const db = await context.database();
    const seen = await previewAdoption(db, token);
    const identity = input.identity ?? (await describe(input, seen, context));
    const adoption = { token, identity, name: input.name ?? null };
    const adopted = await gated(
      context,
      db,
      { ...input, plan: undefined },
      {
        action: "identity.adopt",
        draft: async (tx) => [
          await (await import("../../operations/approval/draft.ts")).draftAdoption(tx, adoption),
        ],
        run: (request) => adoptToken(db, request, adoption),
      },
    );
    return { document: adopted };
  },
  view: viewIdentityAdopt,
});

/** Words of one way of adopting that say nothing to another are a mistake. */
function refuseBeside(flag: string, words: Readonly<Record<string, unknown>>): void {
  const given = Object.entries(words).find(
    ([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0),
  );
  if (given === undefined) return;
  const name = given[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw together(`${given[0] === "ref" ? "REF" : `--${name}`} does not go with ${flag}`);
}

function together(what: string): MidctlError {
  return new MidctlError("usage", `${what}; nothing was changed`, {
    hint: "midctl identity adopt --help shows the three ways to adopt",
  });
}

function parseTokenReference(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "token") return reference.publicId;
  throw new MidctlError("usage", `${text} is no token, and only tokens are adopted`, {
    hint: "midctl list tokens --legacy names them: at_…",
  });
}

/** What to create, or the identity that the token has: a host's own, or its own of an adoption before. */
async function describe(
  input: Omit<Parameters<typeof identitySpecOf>[1], "slug"> & { readonly slug: string | undefined },
  seen: TokenToAdopt,
  context: VerbContext,
): Promise<string | IdentitySpec> {
  const own = seen.credential?.identity ?? seen.identity;
  const slug = slugOf(input);
  if (slug === undefined && own !== null) {
    refuseBeside("a token that has an identity; use midctl identity update", {
      owner: input.owner,
      displayName: input.displayName,
      label: input.label,
      parent: input.parent,
      idleTtl: input.idleTtl,
      expires: input.expires,
    });
    return own;
  }
  const spec = identitySpecOf(
    slug ??
      parseSlug(await context.ask({ name: "--slug", summary: "the identity's slug, its name for good" })),
    input,
  );
  if (own !== null) return spec;
  if (spec.displayName === null && !isDisplayName(seen.name)) {
    throw new MidctlError(
      "usage",
      `The name of ${formatToken(seen.publicId)} is no display name; nothing was changed.`,
      { hint: "Give --display-name." },
    );
  }
  if (spec.owner !== null) return spec;
  return {
    ...spec,
    owner: parseOwner(await context.ask({ name: "--owner", summary: ownerOption.summary })),
  };
}

function isDisplayName(text: string): boolean {
  try {
    parseDisplayName(text);
    return true;
  } catch {
    return false;
  }
}

async function propose(
  context: VerbContext,
  plan: string,
  owner: string | null,
  workspace: string | null,
): Promise<Outcome<IdentityAdoptDocument>> {
  const { proposals, skipped } = await proposeAdoption(await context.database(), owner, workspace);
  const write = proposals.length > 0 && !context.dryRun;
  if (write) writePlan(plan, proposals);
  return {
    document: {
      plan: write ? plan : null,
      proposals,
      withoutOwner: proposals.filter((proposal) => proposal.owner === "").length,
      skipped,
    } as IdentityAdoptDocument,
  };
}

async function applyPlan(
  context: VerbContext,
  file: string,
  owner: string | null,
  words: GateWords,
): Promise<Outcome<IdentityAdoptDocument>> {
  const lines = readPlan(file, owner);
  const tokens = lines.length === 1 ? "1 token" : `${lines.length} tokens`;
  await context.confirm({ action: `adopt ${tokens}`, name: `adopt ${lines.length}` });
  const db = await context.database();
  return {
    document: await gated(context, db, words, {
      action: "identity.adopt",
      draft: async (tx) => (await import("../../operations/approval/draft.ts")).draftAdoptions(tx, lines),
      run: (request) => applyAdoption(db, request, lines),
    }),
  };
}
