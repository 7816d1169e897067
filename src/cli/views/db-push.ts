import { goThere } from "../../operations/moved.ts";
import type { DbPushDocument } from "../verbs/db-push.ts";
import type { View } from "../view.ts";

export function viewDbPush({
  place,
  target,
  context,
  changed,
  copied,
  environment,
  holdings,
}: DbPushDocument): View {
  const moved = environment.movedTo !== null;
  const use = context === null ? goThere(target) : `midctl context use ${context}`;
  return [
    {
      kind: "fields",
      fields: [
        ["from", place.location],
        ["to", target],
        ["environment", environment.name],
        ["identities", holdings.identities],
        ["credentials", holdings.credentials],
        ["agent tokens", holdings.tokens],
        ["agent events", holdings.events],
        ["log entries", holdings.entries],
      ],
    },
    {
      kind: "notice",
      text: !moved
        ? `Nothing was changed: ${copied ? "all of it would be copied, and" : "it is all there already, and only"} ${place.location} would be marked as moved.`
        : `${changed ? "It has moved" : "It had moved already"}: ${place.location} refuses every change. Go on there: ${use}`,
    },
  ];
}
