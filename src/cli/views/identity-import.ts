import type { IdentityImportDocument } from "../verbs/identity-import.ts";
import type { Block, View } from "../view.ts";

/** More than that nobody reads on a screen; the document has them. */
const SHOWN = 20;

export function viewIdentityImport(document: IdentityImportDocument): View {
  const { imported, unchanged, identities, credentials, failed, failedTotal } = document;
  const blocks: Block[] = [
    {
      kind: "fields",
      fields: [
        ["imported", imported],
        ["identities", identities],
        ["credentials", credentials],
        ["unchanged", unchanged],
        ["failed", failedTotal],
      ],
    },
    ...failed
      .slice(0, SHOWN)
      .map(
        ({ line, message }): Block => ({ kind: "notice", text: `Not imported: line ${line}: ${message}.` }),
      ),
  ];
  if (failedTotal > SHOWN) blocks.push({ kind: "notice", text: `And ${failedTotal - SHOWN} more.` });
  return blocks;
}
