import type { CredentialActivateDocument } from "../verbs/credential-activate.ts";
import type { View } from "../view.ts";
import { credentialFields } from "./credential-fields.ts";

export function viewCredentialActivate({ changed, credential }: CredentialActivateDocument): View {
  return [
    { kind: "fields", fields: credentialFields(credential) },
    {
      kind: "notice",
      text: changed ? `${credential.id} is active.` : `${credential.id} was active already.`,
    },
  ];
}
