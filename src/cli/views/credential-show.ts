import type { CredentialShowDocument } from "../verbs/credential-show.ts";
import type { View } from "../view.ts";
import { credentialFields } from "./credential-fields.ts";
import { eventTable } from "./event-table.ts";

export function viewCredentialShow({ credential, events }: CredentialShowDocument): View {
  return [
    { kind: "fields", fields: credentialFields(credential) },
    eventTable(events, "Nothing happened to it yet."),
  ];
}
