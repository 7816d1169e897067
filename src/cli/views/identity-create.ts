import type { IdentityCreateDocument } from "../verbs/identity-create.ts";
import type { View } from "../view.ts";
import { identityFields } from "./identity-fields.ts";

export function viewIdentityCreate({ created, identity }: IdentityCreateDocument): View {
  return [
    { kind: "fields", fields: identityFields(identity) },
    {
      kind: "notice",
      text: created
        ? `Created ${identity.slug}. Give it a secret: midctl credential issue ${identity.slug}`
        : `${identity.slug} exists already, with these attributes.`,
    },
  ];
}
