import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { parseReference } from "../../domain/reference.ts";
import { DEFAULT_GRACE, rotateCredential } from "../../operations/credential-rotate.ts";
import { previewIssuance } from "../../operations/issuance.ts";
import { campaignOutput } from "../campaign-document.ts";
import { campaignOptions, campaignTermsOf, saysMany } from "../campaign-options.ts";
import type { VerbContext } from "../context.ts";
import { type GateWords, gated, gateOptions } from "../gate.ts";
import { type IssuedDocument, issuanceOf, issuedOutcome, issuedOutput } from "../issued-document.ts";
import { grace, issuanceOptions, parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { openSecret } from "../secret-source.ts";
import { readSelection, referenceOrStdin, selectionOptions } from "../selection.ts";
import { defineVerb, type Outcome } from "../verb.ts";
import { viewCampaign } from "../views/campaign.ts";
import { viewIssued } from "../views/credential-issue.ts";

export const credentialRotate = defineVerb({
  path: ["credential", "rotate"],
  summary: "Issue a successor; the old credential works until the new one is used",
  description:
    "Nothing changes for the current credential before its successor's first use; then it lives on for the grace and ends. A lost secret therefore locks nobody out. --compromised revokes every live credential of that name at once instead. Several REFs, - or a selection make it a campaign: batch by batch, with a journal, so that it goes on where it was interrupted (midctl runbook resume).",
  examples: [
    { command: "midctl credential rotate deploy-bot --token-file ./next", does: "with an hour of grace" },
    {
      command: "midctl credential rotate deploy-bot --compromised",
      does: "after a leak: the old ones end now",
    },
    {
      command:
        "midctl credential rotate --label team=infra --token-file-dir ./secrets --health ./check.sh --wait-proof 2h",
      does: "a whole team, checked between batches",
    },
  ],
  args: [
    {
      name: "ref",
      summary: "the identity's slug; several, or - for those on standard input: a campaign",
      schema: referenceOrStdin,
      variadic: true,
      optional: true,
      complete: "identity",
    },
  ],
  options: {
    ...issuanceOptions,
    grace: {
      value: "1h",
      summary: "how long the old one lives on after the first use of the new; default: 1h, at most 24h",
      schema: grace,
    },
    expectCurrent: {
      value: "MC",
      summary: "only if this one is current",
      schema: readWith(parseCredentialReference),
    },
    compromised: { summary: "revoke every live credential of that name at once" },
    ...selectionOptions,
    ...campaignOptions,
    ...gateOptions,
  },
  output: z.union([issuedOutput, campaignOutput]),
  changes: true,
  async run({ ref: refs, ...input }, context) {
    const selection = await readSelection(refs, input, context);
    const named = refs.length === 1 && refs[0] !== "-";
    if (selection !== null && !(named && !saysMany(input))) {
      refuseGrace(input);
      const terms = campaignTermsOf(input, context.reason);
      const { rotateMany } = await import("../campaign.ts");
      const { readMeans } = await import("../campaign-means.ts");
      return rotateMany(context, {
        ...{ selection, terms, replacePending: input.replacePending, means: readMeans(input, terms.name) },
        ...{ waitProof: input.waitProof, gate: input, receipt: null },
      });
    }
    if (saysMany(input)) {
      throw new MidctlError("usage", "nobody is named to rotate; nothing was changed", {
        hint: "REF…, - for standard input, --label, --owner or --all",
      });
    }
    const slug = refs[0] ?? (await context.ask({ name: "REF", summary: "the identity's slug" }));
    return rotateOne({ ...input, ref: parseIdentityReference(slug) }, context);
  },
  view: (document) => ("campaign" in document ? viewCampaign(document) : viewIssued(document)),
});

interface WordsOfOne extends GateWords {
  readonly ref: string;
  readonly name: string;
  readonly scope: readonly string[];
  readonly expires: number | "never" | undefined;
  readonly activateWithin: number | undefined;
  readonly replacePending: boolean;
  readonly tokenFile: string | undefined;
  readonly commitment: string | undefined;
  readonly grace: number | undefined;
  readonly expectCurrent: string | undefined;
  readonly compromised: boolean;
}

async function rotateOne(input: WordsOfOne, context: VerbContext): Promise<Outcome<IssuedDocument>> {
  refuseGrace(input);
  if (input.compromised)
    await context.confirm({
      action: `revoke every live credential ${input.name} of ${input.ref}`,
      name: input.ref,
    });
  const db = await context.database();
  const seen = await previewIssuance(db, input.ref, input.name);
  const terms = {
    ...issuanceOf(input),
    identity: input.ref,
    grace: input.compromised ? 0 : (input.grace ?? DEFAULT_GRACE),
    expectCurrent: input.expectCurrent ?? null,
    compromised: input.compromised,
  };
  const source = openSecret(context, input, seen.environment);
  const rotation = { ...terms, secret: source.commitment };
  const onCommitted = () =>
    context.standBy(
      source.tokenFile === null
        ? "the old credentials are revoked, and the secret of the new one was not shown: credential issue --replace-pending makes another"
        : "the old credentials are revoked, and the new one was issued; verifiers were still being waited for",
    );
  const issued = await source.during(() =>
    gated(context, db, input, {
      action: "credential.rotate",
      hash: source.commitment.hash,
      draft: async (tx) => [
        await (await import("../../operations/approval/draft.ts")).draftRotation(tx, rotation, seen),
      ],
      run: (request) => rotateCredential(db, { ...request, onCommitted }, rotation, seen),
    }),
  );
  context.standBy(`${issued.credential.id} was issued and stays`);
  return issuedOutcome(issued, source);
}

function refuseGrace({ compromised, grace }: Pick<WordsOfOne, "compromised" | "grace">): void {
  if (!compromised || grace === undefined) return;
  throw new MidctlError("usage", "--compromised gives no grace; nothing was changed", {
    hint: "leave --grace out",
  });
}

function parseCredentialReference(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "credential") return reference.publicId;
  throw new MidctlError("usage", "this takes a credential, mc_…", {
    hint: "midctl identity show lists them",
  });
}
