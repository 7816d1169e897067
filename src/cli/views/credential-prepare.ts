import type { CredentialPrepareDocument } from "../verbs/credential-prepare.ts";
import type { View } from "../view.ts";

/** The commitment alone on stdout: one word, for the next command's argument. */
export function viewCredentialPrepare({ commitment, tokenFile, created }: CredentialPrepareDocument): View {
  return [
    { kind: "line", cells: [commitment] },
    {
      kind: "notice",
      text: created
        ? `The secret is in ${tokenFile}, and this is its commitment. It is worth nothing until it is issued.`
        : `${tokenFile} held its secret already; this is its commitment.`,
    },
  ];
}
