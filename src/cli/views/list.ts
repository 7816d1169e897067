import type { ListDocument } from "../verbs/list.ts";
import { type Block, status, time, type View } from "../view.ts";
import { CREDENTIAL_COLUMNS, credentialRow } from "./credential-fields.ts";

export function viewList(document: ListDocument): View {
  const blocks: Block[] = [tableOf(document)];
  if (document.nextCursor !== null) {
    blocks.push({ kind: "notice", text: `There is more: --cursor ${document.nextCursor}, or --all.` });
  }
  return blocks;
}

function tableOf(document: ListDocument): Block {
  if ("identities" in document) {
    return {
      kind: "table",
      columns: [
        { title: "IDENTITY", fixed: true },
        { title: "STATUS", fixed: true },
        { title: "KIND", optional: true },
        { title: "OWNER" },
        { title: "LABELS", optional: true },
        { title: "LAST USED" },
        { title: "EXPIRES", optional: true },
      ],
      rows: document.identities.map((identity) => [
        identity.slug,
        status(identity.effectiveStatus),
        identity.kind,
        identity.owner,
        Object.entries(identity.labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(" "),
        time(identity.lastUsedAt),
        time(identity.expiresAt),
      ]),
    };
  }
  if ("credentials" in document) {
    return { kind: "table", columns: CREDENTIAL_COLUMNS, rows: document.credentials.map(credentialRow) };
  }
  return {
    kind: "table",
    columns: [
      { title: "TOKEN", fixed: true },
      { title: "IDENTITY", fixed: true },
      { title: "NAME" },
      { title: "STATUS", fixed: true },
      { title: "LAST USED" },
      { title: "EXPIRES" },
      { title: "WORKSPACE", optional: true },
      { title: "SCOPES", optional: true },
    ],
    rows: document.tokens.map((token) => [
      token.id,
      token.identity ?? "(legacy)",
      token.name,
      status(token.effectiveStatus),
      time(token.lastUsedAt),
      time(token.expiresAt),
      token.workspace,
      token.scopes.join(" "),
    ]),
  };
}
