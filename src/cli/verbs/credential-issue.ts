import { MidctlError } from "../../domain/errors.ts";
import { issueCredential } from "../../operations/credential-issue.ts";
import { previewIssuance } from "../../operations/issuance.ts";
import { gated, gateOptions } from "../gate.ts";
import { issuanceOf, issuedOutcome, issuedOutput } from "../issued-document.ts";
import {
  duration,
  identityOptions,
  identitySpecOf,
  issuanceOptions,
  ownerOption,
  parseIdentityReference,
} from "../options.ts";
import { readWith } from "../parse.ts";
import { openSecret } from "../secret-source.ts";
import { nameIdentity } from "../thread-claim.ts";
import { defineVerb } from "../verb.ts";
import { viewIssued } from "../views/credential-issue.ts";

export const credentialIssue = defineVerb({
  path: ["credential", "issue"],
  summary: "Issue a credential and show its secret, once",
  description:
    "The credential is pending until its secret is first used; unused by its deadline it is abandoned. With --create the identity is made in the same transaction where there is none. Repeating the call with the same --token-file is safe.",
  examples: [
    { command: "midctl credential issue deploy-bot --scope 'cards:*'", does: "the secret alone on stdout" },
    {
      command:
        "midctl credential issue --thread demo-1 --provider codex --create --owner you --token-file ./token",
      does: "provision an agent's thread in one call",
    },
  ],
  args: [
    {
      name: "ref",
      summary: "the identity's slug; or --thread and --provider",
      schema: readWith(parseIdentityReference),
      optional: true,
      complete: "identity",
    },
  ],
  options: {
    ...issuanceOptions,
    create: { summary: "create the identity where there is none; takes the flags below" },
    owner: ownerOption,
    ...identityOptions,
    identityExpires: {
      value: "30d",
      summary: "with --create: the identity's life; default: without end",
      schema: duration,
    },
    ...gateOptions,
  },
  output: issuedOutput,
  changes: true,
  async run(input, context) {
    const words = await nameIdentity(
      context,
      { ...input, slug: input.ref, expires: input.identityExpires },
      { name: "REF", summary: "the identity's slug", parse: parseIdentityReference },
    );
    const { slug } = words;
    if (!input.create) refuseCreationFlags(input);
    const db = await context.database();
    const seen = await previewIssuance(db, slug, input.name);
    const terms = { ...issuanceOf(input), identity: input.create ? identitySpecOf(slug, words) : slug };
    const source = openSecret(context, input, seen.environment);
    const issuance = { ...terms, secret: source.commitment };
    const issued = await source.during(() =>
      gated(context, db, input, {
        action: "credential.issue",
        hash: source.commitment.hash,
        draft: async (tx) => [
          await (await import("../../operations/approval/draft.ts")).draftIssue(tx, issuance, seen),
        ],
        run: (request) => issueCredential(db, request, issuance, seen),
      }),
    );
    context.standBy(`${issued.credential.id} was issued and stays`);
    return issuedOutcome(issued, source);
  },
  view: viewIssued,
});

/** Flags that describe an identity say nothing to one that exists: without --create they are a mistake. */
function refuseCreationFlags(input: {
  readonly owner: string | undefined;
  readonly displayName: string | undefined;
  readonly label: readonly string[];
  readonly parent: string | undefined;
  readonly idleTtl: number | undefined;
  readonly workspace: string | undefined;
  readonly identityExpires: number | undefined;
}): void {
  const given = [
    input.owner !== undefined && "--owner",
    input.displayName !== undefined && "--display-name",
    input.label.length > 0 && "--label",
    input.parent !== undefined && "--parent",
    input.idleTtl !== undefined && "--idle-ttl",
    input.workspace !== undefined && "--workspace",
    input.identityExpires !== undefined && "--identity-expires",
  ].find((flag) => flag !== false);
  if (given === undefined) return;
  throw new MidctlError(
    "usage",
    `${given} describes a new identity and goes with --create; nothing was issued`,
    {
      hint: "add --create, or change an identity with midctl identity update",
    },
  );
}
