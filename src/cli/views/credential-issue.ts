import type { IssuedDocument } from "../issued-document.ts";
import type { Block, View } from "../view.ts";
import { credentialFields } from "./credential-fields.ts";
import { describeLetGo } from "./let-go.ts";

/** Everything about an issuance but its secret. */
export function viewIssued(document: IssuedDocument): View {
  const { created, credential, tokenFile, revoked } = document;
  const blocks: Block[] = [{ kind: "fields", fields: credentialFields(credential) }];
  for (const ended of revoked) blocks.push({ kind: "notice", text: `${ended} was revoked at once.` });
  blocks.push(...describeLetGo(document.letGo));
  if (!created) {
    blocks.push({
      kind: "notice",
      text: `This secret was issued before as ${credential.id}; nothing was changed.`,
    });
  } else if (tokenFile !== null) {
    blocks.push({ kind: "notice", text: `Its secret is in ${tokenFile} and nowhere else.` });
  }
  if (credential.effectiveStatus === "pending") {
    const waits = credential.replaces === null ? "" : ` ${credential.replaces} works on until then.`;
    blocks.push({
      kind: "notice",
      text: `Pending: the first use, or midctl credential activate, makes it active.${waits}`,
    });
  }
  return blocks;
}
