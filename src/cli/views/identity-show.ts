import type { IdentityShowDocument } from "../verbs/identity-show.ts";
import { type Block, status, type View } from "../view.ts";
import { CREDENTIAL_COLUMNS, credentialRow } from "./credential-fields.ts";
import { eventTable } from "./event-table.ts";
import { identityFields } from "./identity-fields.ts";

export function viewIdentityShow(document: IdentityShowDocument): View {
  const { identity, credentials, ancestors, children, events } = document;
  const blocks: Block[] = [
    { kind: "fields", fields: identityFields(identity) },
    {
      kind: "table",
      columns: CREDENTIAL_COLUMNS,
      rows: credentials.map(credentialRow),
      empty: `It has no credential: midctl credential issue ${identity.slug}`,
    },
  ];
  if (ancestors.length > 0) blocks.push({ kind: "fields", fields: [["spawned by", ancestors.join(" < ")]] });
  if (children.length > 0) {
    blocks.push({
      kind: "table",
      columns: [{ title: "CHILD", fixed: true }, { title: "STATUS" }],
      rows: children.map((child) => [child.slug, status(child.effectiveStatus)]),
    });
  }
  blocks.push(eventTable(events, "Nothing happened yet."));
  return blocks;
}
