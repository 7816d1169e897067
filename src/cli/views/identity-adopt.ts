import type { IdentityAdoptDocument } from "../verbs/identity-adopt.ts";
import { type Block, time, type View } from "../view.ts";
import { credentialFields } from "./credential-fields.ts";
import { identityFields } from "./identity-fields.ts";

export function viewIdentityAdopt(document: IdentityAdoptDocument): View {
  if ("proposals" in document) return viewProposals(document);
  if ("results" in document) return viewResults(document);
  const { changed, created, token, identity, credential } = document;
  return [
    { kind: "fields", fields: identityFields(identity) },
    { kind: "fields", title: "credential", fields: credentialFields(credential) },
    {
      kind: "notice",
      text: changed
        ? `Adopted ${token} as ${credential.id} of ${created ? "the new identity " : ""}${identity.slug}. Its secret goes on working.`
        : `${token} is ${credential.id} of ${identity.slug} already.`,
    },
  ];
}

type Proposals = Extract<IdentityAdoptDocument, { proposals: unknown }>;
type Results = Extract<IdentityAdoptDocument, { results: unknown }>;

function viewProposals({ plan, proposals, withoutOwner, skipped }: Proposals): View {
  const blocks: Block[] = [
    {
      kind: "table",
      columns: [
        { title: "TOKEN", fixed: true },
        { title: "NAME" },
        { title: "SLUG", fixed: true },
        { title: "OWNER" },
        { title: "WORKSPACE", optional: true },
        { title: "LAST USED", optional: true },
      ],
      rows: proposals.map((proposal) => [
        proposal.token,
        proposal.name,
        proposal.slug,
        proposal.owner === "" ? { text: "(to fill in)", tone: "warn" } : proposal.owner,
        proposal.workspace,
        time(proposal.lastUsedAt ?? null),
      ]),
    },
    ...skipped.map(({ token, reason }): Block => ({ kind: "notice", text: `Left out: ${token} ${reason}.` })),
  ];
  if (proposals.length === 0)
    blocks.push({ kind: "notice", text: "There is no legacy token in force to adopt." });
  else if (plan !== null) {
    blocks.push({
      kind: "notice",
      text: `Wrote ${proposals.length} proposal${proposals.length === 1 ? "" : "s"} to ${plan}; nothing was adopted. Edit them, then: midctl identity adopt --apply ${plan}`,
    });
  }
  if (withoutOwner > 0) {
    blocks.push({
      kind: "notice",
      text: `${withoutOwner} of them ha${withoutOwner === 1 ? "s" : "ve"} no owner: fill it in, or give --owner.`,
    });
  }
  return blocks;
}

function viewResults({ adopted, unchanged, created, results }: Results): View {
  return [
    {
      kind: "table",
      columns: [
        { title: "TOKEN", fixed: true },
        { title: "IDENTITY", fixed: true },
        { title: "CREDENTIAL", optional: true },
        { title: "OUTCOME" },
      ],
      rows: results.map((result) => [
        result.token,
        result.identity,
        result.credential,
        result.changed ? { text: "adopted", tone: "good" } : "unchanged",
      ]),
    },
    {
      kind: "notice",
      text: `Adopted ${adopted} token${adopted === 1 ? "" : "s"} under ${created} new identit${created === 1 ? "y" : "ies"}; ${unchanged} unchanged.`,
    },
  ];
}
