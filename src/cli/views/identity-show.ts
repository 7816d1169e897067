import { COUNTED } from "../../repository/lineage.ts";
import type { IdentityShowDocument } from "../verbs/identity-show.ts";
import { type Block, type Cell, status, type View } from "../view.ts";
import { CREDENTIAL_COLUMNS, credentialRow } from "./credential-fields.ts";
import { eventTable } from "./event-table.ts";
import { identityFields } from "./identity-fields.ts";

export function viewIdentityShow(document: IdentityShowDocument): View {
  const { identity, credentials, ancestors, descendants, events } = document;
  const blocks: Block[] = [
    { kind: "fields", fields: identityFields(identity) },
    {
      kind: "table",
      columns: CREDENTIAL_COLUMNS,
      rows: credentials.map(credentialRow),
      empty: `It has no credential: midctl credential issue ${identity.slug}`,
    },
  ];
  if (ancestors.length + descendants.length > 0) blocks.push(...lineage(document));
  blocks.push(eventTable(events, "Nothing happened yet."));
  return blocks;
}

/** Deeper than this nobody sees the difference, and lines grow too long. */
const DEEPEST = 20;

/** The tree that it stands in: ancestors above, root first, descendants below. */
function lineage({ identity, ancestors, descendants, counts }: IdentityShowDocument): Block[] {
  const rows: [Cell, Cell][] = [];
  const add = (depth: number, slug: string, effectiveStatus: string): void => {
    rows.push([`${"  ".repeat(Math.min(depth, DEEPEST))}${slug}`, status(effectiveStatus)]);
  };
  const above = counts.ancestors - ancestors.length;
  for (const [depth, { slug, effectiveStatus }] of [...ancestors].reverse().entries())
    add(depth, slug, effectiveStatus);
  add(ancestors.length, identity.slug, identity.effectiveStatus);
  const below = (parent: string): void => {
    for (const { slug, depth, effectiveStatus } of descendants.filter((one) => one.parent === parent)) {
      add(ancestors.length + depth, slug, effectiveStatus);
      below(slug);
    }
  };
  below(identity.slug);
  const unseen = counts.descendants - descendants.length;
  return [
    { kind: "table", columns: [{ title: "LINEAGE", fixed: true }, { title: "STATUS" }], rows },
    ...(above > 0
      ? [{ kind: "line", words: true, cells: [more(above, counts.ancestors, "above")] } as const]
      : []),
    ...(unseen > 0
      ? [{ kind: "line", words: true, cells: [more(unseen, counts.descendants, "below")] } as const]
      : []),
  ];
}

function more(unseen: number, counted: number, where: string): string {
  return `and ${counted >= COUNTED ? "at least " : ""}${unseen} more ${where}`;
}
