import type { IdentityUpdateDocument } from "../verbs/identity-update.ts";
import type { View } from "../view.ts";
import { identityFields } from "./identity-fields.ts";

export function viewIdentityUpdate({ changed, identity }: IdentityUpdateDocument): View {
  return [
    { kind: "fields", fields: identityFields(identity) },
    {
      kind: "notice",
      text: changed ? `Changed ${identity.slug}.` : `${identity.slug} was so already; nothing was changed.`,
    },
  ];
}
